#include "vpp/device_stream.hpp"

#include <cstring>
#include <utility>

#include "vpp/error.hpp"

namespace vpp {
namespace {

template <class Spec>
bool fits(const Tensor& tensor, const Spec& spec) {
    return tensor.dtype() == spec.dtype && tensor.shape() == spec.shape;
}

void check_input(const std::shared_ptr<const Tensor>& tensor, const TensorSpec& spec) {
    if (!tensor || !fits(*tensor, spec)) {
        throw UsageError("input " + spec.name + " is " +
                         (tensor ? describe(tensor->dtype(), tensor->shape()) : "missing") + "; give " +
                         describe(spec.dtype, spec.shape));
    }
}

std::shared_ptr<const Tensor> find(const SharedTensors& tensors, const std::string& name) {
    const auto found = tensors.find(name);
    return found == tensors.end() ? nullptr : found->second;
}

void fill(const PinnedMemory& memory, const Tensor& tensor) {
    std::memcpy(memory.address.get(), tensor.data(), tensor.bytes());
}

template <class Spec>
Tensor tensor_in(const PinnedMemory& memory, const Spec& spec) {
    Tensor tensor(spec.dtype, spec.shape);
    std::memcpy(tensor.data(), memory.address.get(), tensor.bytes());
    return tensor;
}

}  // namespace

DeviceStream::DeviceStream(const Manifest& manifest, std::shared_ptr<Device> device,
                           const CreateContext& create_context, Log log)
    : device_(std::move(device)),
      log_(std::move(log)),
      queue_(device_->queue()),
      upload_queue_(device_->queue()),
      capturing_(device_->captures()) {
    for (const StateSpec& spec : manifest.state) {
        const std::size_t bytes = byte_count(spec.dtype, spec.shape);
        states_.push_back({spec, {device_->allocate(bytes), device_->allocate(bytes)}});
    }
    init_ = make_stage(manifest.init, create_context(GraphRole::Init));
    step_ = make_stage(manifest.step, create_context(GraphRole::Step));
}

DeviceStream::~DeviceStream() {
    for (const Queue* queue : {&queue_, &upload_queue_}) {
        try {
            device_->synchronize(*queue);  // memory that is in use must not go
        } catch (const DeviceError&) {     // nobody waits for the work any more
        }
    }
}

DeviceStream::Place DeviceStream::place(const TensorSpec& spec) {
    const std::size_t bytes = byte_count(spec.dtype, spec.shape);
    return {device_->allocate(bytes), device_->pinned(bytes)};
}

DeviceStream::Stage DeviceStream::make_stage(const GraphSpec& graph, std::unique_ptr<Context> context) {
    Stage stage{std::move(context), {}, {}};
    for (const TensorSpec& spec : graph.inputs) {
        auto known = inputs_.find(spec.name);
        if (known == inputs_.end()) {
            known = inputs_.emplace(spec.name, Input{spec, place(spec), {}, nullptr}).first;
        }
        Input& input = known->second;
        if (input.spec.dtype != spec.dtype || input.spec.shape != spec.shape) {
            throw BundleError("input " + spec.name + " is " + describe(input.spec.dtype, input.spec.shape) +
                              " in the init graph and " + describe(spec.dtype, spec.shape) +
                              " in the step graph; export the bundle again");
        }
        stage.context->bind(spec.name, input.place.buffer);
        stage.inputs.push_back(&input);
    }
    for (const TensorSpec& spec : graph.outputs) {
        stage.outputs.push_back({spec, place(spec)});
        stage.context->bind(spec.name, stage.outputs.back().place.buffer);
    }
    return stage;
}

Tensors DeviceStream::run(const SharedTensors& inputs) {
    for (const Input* input : stage().inputs) {
        check_input(find(inputs, input->spec.name), input->spec);
    }
    for (Input* input : stage().inputs) {
        const std::shared_ptr<const Tensor> value = find(inputs, input->spec.name);
        take(*input, *value, value == input->waiting);
    }
    execute();
    for (const Output& output : stage().outputs) {
        device_->download(output.place.host, output.place.buffer, queue_);
    }
    device_->synchronize(queue_);
    Tensors outputs;
    for (const Output& output : stage().outputs) {
        outputs.emplace(output.spec.name, tensor_in(output.place.host, output.spec));
    }
    if (phase_ == GraphRole::Step) {
        direction_ = 1 - direction_;
    }
    phase_ = GraphRole::Step;
    return outputs;
}

void DeviceStream::prefetch(const SharedTensors& inputs) {
    for (const auto& [name, value] : inputs) {
        const auto input = inputs_.find(name);
        if (input == inputs_.end()) {
            throw UsageError("the graphs have no input " + name + "; leave it out");
        }
        check_input(value, input->second.spec);
        begin_upload(input->second, value);
    }
}

void DeviceStream::begin_upload(Input& input, const std::shared_ptr<const Tensor>& value) {
    input.waiting = nullptr;
    if (input.staging.buffer.address) {
        device_->synchronize(upload_queue_);  // the host memory may still be read by an upload that nobody took
    } else {
        input.staging = place(input.spec);
    }
    fill(input.staging.host, *value);
    device_->upload(input.staging.buffer, input.staging.host, upload_queue_);
    input.waiting = value;
}

/// Have the value in the bound buffer once the queue gets there.
void DeviceStream::take(Input& input, const Tensor& value, bool is_waiting) {
    if (is_waiting) {
        device_->follow(queue_, upload_queue_);
        device_->copy(input.place.buffer, input.staging.buffer, queue_);
    } else {
        fill(input.place.host, value);
        device_->upload(input.place.buffer, input.place.host, queue_);
    }
    input.waiting = nullptr;
}

void DeviceStream::execute() {
    const bool is_step = phase_ == GraphRole::Step;
    if (!is_step || !graphs_[direction_].handle) {
        bind_state();
        if (!is_step || !warm_[direction_] || !capture()) {
            stage().context->enqueue(queue_);
            warm_[direction_] = warm_[direction_] || is_step;
            return;
        }
    }
    device_->launch(graphs_[direction_], queue_);
}

/// The first frame only writes state, into the buffers that the first step reads.
void DeviceStream::bind_state() {
    Context& context = *stage().context;
    for (const State& state : states_) {
        if (phase_ == GraphRole::Step) {
            context.bind(state.spec.input, state.buffers[direction_]);
            context.bind(state.spec.output, state.buffers[1 - direction_]);
        } else {
            context.bind(state.spec.output, state.buffers[0]);
        }
    }
}

bool DeviceStream::capture() {
    if (!capturing_) {
        return false;
    }
    try {
        graphs_[direction_] = device_->capture(queue_, [this] { step_.context->enqueue(queue_); });
    } catch (const DeviceError& error) {
        log_("the step graph cannot be captured on " + device_->name() + " (" + error.what() + "); running without");
        capturing_ = false;
    }
    return capturing_;
}

void DeviceStream::reset() {
    phase_ = GraphRole::Init;
    direction_ = 0;
}

StreamState DeviceStream::snapshot() {
    StreamState snapshot{phase_, {}};
    if (phase_ == GraphRole::Init) {
        return snapshot;
    }
    std::vector<PinnedMemory> copies;
    for (const State& state : states_) {
        const Buffer& buffer = state.buffers[direction_];
        copies.push_back(device_->pinned(buffer.bytes));
        device_->download(copies.back(), buffer, queue_);
    }
    device_->synchronize(queue_);
    for (std::size_t n = 0; n < states_.size(); ++n) {
        snapshot.tensors.emplace(states_[n].spec.name, tensor_in(copies[n], states_[n].spec));
    }
    return snapshot;
}

void DeviceStream::restore(const StreamState& state) {
    if (state.phase == GraphRole::Step) {
        for (const State& own : states_) {
            const auto tensor = state.tensors.find(own.spec.name);
            if (tensor == state.tensors.end() || !fits(tensor->second, own.spec)) {
                throw UsageError("the snapshot has no state " + own.spec.name + " of " +
                                 describe(own.spec.dtype, own.spec.shape) + "; give one of the same bundle");
            }
        }
        std::vector<PinnedMemory> copies;
        for (const State& own : states_) {
            const Buffer& buffer = own.buffers[0];
            copies.push_back(device_->pinned(buffer.bytes));
            fill(copies.back(), state.tensors.at(own.spec.name));
            device_->upload(buffer, copies.back(), queue_);
        }
        device_->synchronize(queue_);
    }
    phase_ = state.phase;
    direction_ = 0;
}

}  // namespace vpp
