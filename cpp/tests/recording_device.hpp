#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "check.hpp"
#include "vpp/device.hpp"
#include "vpp/error.hpp"

namespace vpp::test {

using Work = std::function<void()>;
using Addresses = std::map<std::string, void*>;

/// Work that waits until the queue is synchronised, as on a GPU, so that a missing dependency or memory that is used
/// too early gives wrong results here too.
struct FakeQueue {
    int number;
    std::deque<Work> waiting;

    void finish() {
        for (; !waiting.empty(); waiting.pop_front()) {
            waiting.front()();
        }
    }
};

/// One call of a device or a context.
struct Call {
    std::string name;
    const void* address = nullptr;  ///< the device memory, or the graph, that it was about
    int queue = 0;
    Addresses bindings;  ///< of a context's run
};

/// A device in host memory that writes down what is asked of it.
class RecordingDevice final : public Device {
  public:
    explicit RecordingDevice(bool captures = true, bool refuses_capture = false)
        : captures_(captures), refuses_(refuses_capture) {}

    std::vector<Call> log;

    std::vector<Call> calls(const std::string& name) const {
        std::vector<Call> found;
        std::copy_if(log.begin(), log.end(), std::back_inserter(found),
                     [&name](const Call& call) { return call.name == name; });
        return found;
    }

    /// A context's run: queued, or put into the graph that is being captured.
    void enqueued(const Queue& queue, Work work) {
        if (capturing_) {
            capturing_->push_back(std::move(work));
        } else {
            put(queue, std::move(work));
        }
    }

    std::string name() const override { return "recording"; }
    bool captures() const override { return captures_; }
    Buffer allocate(std::size_t bytes) override { return {memory(bytes), bytes}; }
    PinnedMemory pinned(std::size_t bytes) override { return {memory(bytes), bytes}; }

    Queue queue() override {
        return {{new FakeQueue{++queues_, {}}, [](void* handle) { delete static_cast<FakeQueue*>(handle); }}};
    }

    void upload(const Buffer& target, const PinnedMemory& source, const Queue& queue) override {
        move("upload", target, target.address, source.address, source.bytes, queue);
    }
    void download(const PinnedMemory& target, const Buffer& source, const Queue& queue) override {
        move("download", source, target.address, source.address, target.bytes, queue);
    }
    void copy(const Buffer& target, const Buffer& source, const Queue& queue) override {
        move("copy", target, target.address, source.address, source.bytes, queue);
    }

    void follow(const Queue& queue, const Queue& other) override {
        note("follow", nullptr, queue);
        put(queue, [&other = fake(other)] { other.finish(); });
    }
    void synchronize(const Queue& queue) override {
        note("synchronize", nullptr, queue);
        fake(queue).finish();
    }

    Graph capture(const Queue& queue, const Work& work) override {
        note("capture", nullptr, queue);
        if (refuses_) {
            throw DeviceError("it refuses to");
        }
        auto captured = std::make_unique<std::vector<Work>>();
        capturing_ = captured.get();
        work();
        capturing_ = nullptr;
        return {{captured.release(), [](void* handle) { delete static_cast<std::vector<Work>*>(handle); }}};
    }
    void launch(const Graph& graph, const Queue& queue) override {
        note("launch", graph.handle.get(), queue);
        for (const Work& work : *static_cast<std::vector<Work>*>(graph.handle.get())) {
            put(queue, work);
        }
    }

  private:
    static FakeQueue& fake(const Queue& queue) { return *static_cast<FakeQueue*>(queue.handle.get()); }

    static Handle memory(std::size_t bytes) {
        auto* bytes_of_it = new unsigned char[bytes];
        std::memset(bytes_of_it, 0x55, bytes);
        return {bytes_of_it, [](void* address) { delete[] static_cast<unsigned char*>(address); }};
    }

    void note(const char* name, const void* address, const Queue& queue) {
        log.push_back({name, address, fake(queue).number, {}});
    }

    void move(const char* name, const Buffer& buffer, const Handle& target, const Handle& source, std::size_t bytes,
              const Queue& queue) {
        CHECK(bytes == buffer.bytes);
        note(name, buffer.address.get(), queue);
        put(queue, [to = target.get(), from = source.get(), bytes] { std::memcpy(to, from, bytes); });
    }

    void put(const Queue& queue, Work work) {
        CHECK(!capturing_);  // only a context's run may be captured
        fake(queue).waiting.push_back(std::move(work));
    }

    bool captures_;
    bool refuses_;
    int queues_ = 0;
    std::vector<Work>* capturing_ = nullptr;
};

/// A context that computes a model's phase in the recording device's memory.
class RecordingContext final : public Context {
  public:
    using Model = std::function<void(GraphRole phase, const Addresses& memory)>;

    RecordingContext(std::shared_ptr<RecordingDevice> device, GraphRole phase, Model model)
        : device_(std::move(device)), phase_(phase), model_(std::move(model)) {}

    void bind(const std::string& name, const Buffer& buffer) override { bindings_[name] = buffer.address.get(); }

    void enqueue(const Queue& queue) override {
        std::set<void*> different;
        for (const auto& [name, address] : bindings_) {
            different.insert(address);
        }
        CHECK(different.size() == bindings_.size());  // nothing is read and written by the same run
        device_->log.push_back({"enqueue", nullptr, 0, bindings_});
        // A graph keeps the addresses that were bound when it was captured.
        device_->enqueued(queue, [this, addresses = bindings_] { model_(phase_, addresses); });
    }

  private:
    std::shared_ptr<RecordingDevice> device_;
    GraphRole phase_;
    Model model_;
    Addresses bindings_;
};

}  // namespace vpp::test
