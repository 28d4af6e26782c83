// Runs one thread block at a time on one CPU thread: every CUDA thread is a coroutine that gives way at barriers.
//
// Between two barriers the threads run one after the other, in a chosen order, and asynchronous copies arrive either at
// once or not before they are waited for. A kernel that misses a barrier or a wait gives different results under
// different orders, so the tests run under all of them. This says nothing about speed, nor about a GPU that differs
// from what PTX documents.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

namespace emulation {

// kAscending, kDescending: each warp runs as far as it can before the next one starts. kInterleaved: all warps take
// turns.
enum class Order { kAscending, kDescending, kInterleaved };

struct Settings {
    Order order = Order::kAscending;
    bool late_copies = true;
};
inline Settings settings;

struct Index {
    unsigned x;
};

struct Barrier {
    int expected = 0, arrived = 0;
    unsigned round = 0;
};

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    bool inside;

    void run() const {
        inside ? static_cast<void>(std::memcpy(to, from, bytes)) : static_cast<void>(std::memset(to, 0, bytes));
    }
};

struct Thread {
    static constexpr size_t kStackBytes = 128 * 1024;

    ucontext_t start;
    jmp_buf resume_at;
    std::unique_ptr<char[]> stack{new char[kStackBytes]};
    bool started = false, finished = false;
    const Barrier* waits_for = nullptr;
    unsigned round = 0;
    std::vector<std::vector<Copy>> groups;  // the last one is open

    bool runnable() const { return !finished && (waits_for == nullptr || waits_for->round != round); }
};

struct Block {
    std::vector<Thread> threads;
    Barrier barrier;
    std::array<Barrier, 32> warp_barriers;
    std::array<std::array<uint64_t, 32>, 32> slots;  // [warp, lane]
    jmp_buf scheduler;
    std::function<void()> body;
    unsigned current = 0;
};

inline Block block;
alignas(16) inline unsigned char dynamic_memory[48 * 1024];

inline Index thread_index() {
    return {block.current};
}
inline Thread& this_thread() {
    return block.threads[block.current];
}

[[noreturn]] inline void fail(const char* message) {
    std::fprintf(stderr, "emulation: %s\n", message);
    std::abort();
}

// _setjmp and _longjmp switch between the stacks that ucontext made: swapcontext is a system call each time.
inline void give_way() {
    if (_setjmp(this_thread().resume_at) == 0)
        _longjmp(block.scheduler, 1);
}

inline void resume() {
    Thread& thread = this_thread();
    if (_setjmp(block.scheduler) != 0)
        return;
    if (thread.started)
        _longjmp(thread.resume_at, 1);
    thread.started = true;
    setcontext(&thread.start);
}

inline void wait(Barrier& barrier) {
    if (++barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        ++barrier.round;
        return;
    }
    Thread& thread = this_thread();
    thread.waits_for = &barrier;
    thread.round = barrier.round;
    give_way();
    this_thread().waits_for = nullptr;
}

inline void block_barrier() {
    wait(block.barrier);
}
inline void warp_barrier() {
    wait(block.warp_barriers[block.current / 32]);
}

// The values of the 32 lanes of this thread's warp; all of them must take part.
template <typename T>
std::array<T, 32> exchange(T value) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "one slot");
    auto& slots = block.slots[block.current / 32];
    std::memcpy(&slots[block.current % 32], &value, sizeof value);
    warp_barrier();
    std::array<T, 32> values;
    for (int lane = 0; lane < 32; ++lane)
        std::memcpy(&values[lane], &slots[lane], sizeof value);
    warp_barrier();
    return values;
}

inline void copy(const Copy& request) {
    if (!settings.late_copies)
        return request.run();
    auto& groups = this_thread().groups;
    if (groups.empty())
        groups.emplace_back();
    groups.back().push_back(request);
}

inline void commit() {
    auto& groups = this_thread().groups;
    if (groups.empty())
        groups.emplace_back();
    groups.emplace_back();
}

inline void wait_copies(size_t pending) {
    auto& groups = this_thread().groups;
    while (groups.size() > pending + 1) {
        for (const Copy& request : groups.front())
            request.run();
        groups.erase(groups.begin());
    }
}

inline void thread_main() {
    block.body();
    this_thread().finished = true;
    give_way();
}

inline void run_block(unsigned count, size_t dynamic_bytes, std::function<void()> body) {
    if (count % 32 != 0)
        fail("a block must have whole warps");
    if (dynamic_bytes > sizeof dynamic_memory)
        fail("too much dynamic shared memory");
    block.body = std::move(body);
    if (block.threads.size() < count)
        block.threads.resize(count);
    block.barrier = {static_cast<int>(count)};
    block.warp_barriers.fill({32});
    for (unsigned i = 0; i < count; ++i) {
        Thread& thread = block.threads[i];
        thread.started = thread.finished = false;
        thread.waits_for = nullptr;
        thread.groups.clear();
        getcontext(&thread.start);
        thread.start.uc_stack.ss_sp = thread.stack.get();
        thread.start.uc_stack.ss_size = Thread::kStackBytes;
        thread.start.uc_link = nullptr;
        makecontext(&thread.start, thread_main, 0);
    }
    const unsigned warps = count / 32;
    unsigned left = count;
    const auto sweep = [&](unsigned warp) {  // true where a thread of the warp could run
        bool progress = false;
        for (unsigned i = 0; i < 32; ++i) {
            const Order order = settings.order;
            const unsigned lane = order == Order::kAscending ? i : order == Order::kDescending ? 31 - i : i * 13 % 32;
            block.current = warp * 32 + lane;
            if (!this_thread().runnable())
                continue;
            progress = true;
            resume();
            left -= this_thread().finished;
        }
        return progress;
    };
    while (left > 0) {
        bool progress = false;
        for (unsigned i = 0; i < warps; ++i) {
            const unsigned warp = settings.order == Order::kDescending ? warps - 1 - i : i;
            while (sweep(warp)) {
                progress = true;
                if (settings.order == Order::kInterleaved)
                    break;
            }
        }
        if (!progress)
            fail("threads wait at different barriers");
    }
}

}  // namespace emulation
