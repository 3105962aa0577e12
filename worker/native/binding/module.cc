// The Node addon: the export table and one wrapper class per native object. The only file that includes N-API; its JavaScript face is worker/src/native-core.ts.
#include <napi.h>

#include <algorithm>
#include <limits>

#include "backends.h"
#include "core/device.h"
#include "core/gemm.h"

namespace {

using bitwright::DType;
using bitwright::Options;
using bitwright::Status;
using bitwright::Tensor;
using bitwright::TensorSpec;

constexpr int abi = 2;

/// A handle: a frozen-shape object around a Tensor. The finalizer drops the reference, so a leak in JavaScript cannot outlive its handle.
class Handle : public Napi::ObjectWrap<Handle> {
 public:
  static Napi::FunctionReference constructor;
  static void define(Napi::Env env) {
    constructor = Napi::Persistent(DefineClass(env, "NativeHandle", {InstanceAccessor<&Handle::dtype>("dtype"), InstanceAccessor<&Handle::shape>("shape")}));
    constructor.SuppressDestruct();
  }
  static Napi::Object wrap(Napi::Env env, Tensor tensor) {
    Napi::Object object = constructor.New({});
    Unwrap(object)->tensor = std::move(tensor);
    (void)env;
    return object;
  }
  static Tensor tensor_of(const Napi::Value& value) {
    Handle* handle = Unwrap(value.As<Napi::Object>());
    if (!handle->tensor) throw Napi::Error::New(value.Env(), "A native tensor was used after it was released.");
    return handle->tensor;
  }
  explicit Handle(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  Tensor tensor;

 private:
  Napi::Value dtype(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), tensor ? bitwright::name_of(tensor->spec.dtype) : "released"); }
  Napi::Value shape(const Napi::CallbackInfo& info) {
    Napi::Array extents = Napi::Array::New(info.Env());
    if (tensor)
      for (size_t i = 0; i < tensor->spec.shape.size(); ++i) extents.Set(static_cast<uint32_t>(i), static_cast<double>(tensor->spec.shape[i]));
    return extents;
  }
};
Napi::FunctionReference Handle::constructor;

TensorSpec spec_from(const Napi::Env& env, const Napi::Value& dtype, const Napi::Value& shape) {
  TensorSpec spec;
  const std::string name = dtype.As<Napi::String>();
  if (!bitwright::dtype_from_name(name, spec.dtype)) throw Napi::TypeError::New(env, "A native tensor cannot have the dtype " + name + ".");
  const Napi::Array extents = shape.As<Napi::Array>();
  for (uint32_t i = 0; i < extents.Length(); ++i) {
    const double extent = extents.Get(i).ToNumber();
    if (!(extent >= 0) || extent > 9007199254740991.0) throw Napi::RangeError::New(env, "A native tensor cannot have the extent " + std::to_string(extent) + ".");
    spec.shape.push_back(static_cast<int64_t>(extent));
  }
  return spec;
}

Options options_from(const Napi::Env& env, const Napi::Value& value) {
  Options options;
  if (!value.IsObject()) return options;
  const Napi::Object object = value.As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString();
    const Napi::Value option = object.Get(name);
    if (option.IsNumber()) options.set(name, option.As<Napi::Number>().DoubleValue());
    else if (option.IsBoolean()) options.set(name, option.As<Napi::Boolean>().Value());
    else if (option.IsString()) options.set(name, option.As<Napi::String>().Utf8Value());
    else throw Napi::TypeError::New(env, "The option " + name + " of a native operation is neither number, boolean nor string.");
  }
  return options;
}

/// A promise that the executor thread settles: the outcome travels to the event loop by a thread-safe function of its own.
struct Settlement {
  Napi::Promise::Deferred deferred;
  Napi::ThreadSafeFunction function;
  Status status;
  std::vector<uint8_t> bytes;
  bool with_bytes;

  static Settlement* create(Napi::Env env, bool with_bytes) {
    auto* settlement = new Settlement{Napi::Promise::Deferred::New(env), {}, {}, {}, with_bytes};
    settlement->function = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "bitwright", 0, 1);
    return settlement;
  }
  void settle(Status outcome, std::vector<uint8_t> data) {
    status = std::move(outcome);
    bytes = std::move(data);
    Napi::ThreadSafeFunction caller = function;
    caller.BlockingCall(this, [](Napi::Env env, Napi::Function, Settlement* self) {
      if (!self->status.ok()) {
        self->deferred.Reject(Napi::Error::New(env, self->status.message).Value());
      } else if (self->with_bytes) {
        Napi::Uint8Array array = Napi::Uint8Array::New(env, self->bytes.size());
        std::copy(self->bytes.begin(), self->bytes.end(), array.Data());
        self->deferred.Resolve(array);
      } else {
        self->deferred.Resolve(env.Undefined());
      }
      delete self;
    });
    caller.Release();
  }
};

class DeviceWrap : public Napi::ObjectWrap<DeviceWrap> {
 public:
  static Napi::FunctionReference constructor;
  static void define(Napi::Env env) {
    constructor = Napi::Persistent(DefineClass(env, "NativeDevice",
                                               {InstanceAccessor<&DeviceWrap::kind>("kind"), InstanceAccessor<&DeviceWrap::name>("name"), InstanceAccessor<&DeviceWrap::threads>("threads"),
                                                InstanceMethod<&DeviceWrap::from_bytes>("fromBytes"), InstanceMethod<&DeviceWrap::from_file>("fromFile"), InstanceMethod<&DeviceWrap::zeros>("zeros"),
                                                InstanceMethod<&DeviceWrap::enqueue>("enqueue"), InstanceMethod<&DeviceWrap::to_host>("toHost"), InstanceMethod<&DeviceWrap::to_device>("toDevice"), InstanceMethod<&DeviceWrap::limit>("limitMemory"),
                                                InstanceMethod<&DeviceWrap::release>("release"), InstanceMethod<&DeviceWrap::read>("read"),
                                                InstanceMethod<&DeviceWrap::sync>("sync"), InstanceMethod<&DeviceWrap::cancel>("cancel"), InstanceMethod<&DeviceWrap::resume>("resume"),
                                                InstanceMethod<&DeviceWrap::memory>("memory"), InstanceMethod<&DeviceWrap::reset_peak>("resetPeakMemory"), InstanceMethod<&DeviceWrap::close>("close")}));
    constructor.SuppressDestruct();
  }
  /// Arguments: kind, index, threads.
  explicit DeviceWrap(const Napi::CallbackInfo& info) : ObjectWrap(info), kind_(info[0].As<Napi::String>()) {
    bitwright::OpenedBackend opened;
    const int64_t n_threads = std::min<int64_t>(info[2].As<Napi::Number>().Int64Value(), std::numeric_limits<int>::max());
    const Status status = bitwright::open_backend(kind_, info[1].As<Napi::Number>().Int32Value(), static_cast<int>(n_threads), opened);
    if (!status.ok()) throw Napi::Error::New(info.Env(), status.message);
    name_ = opened.name;
    n_threads_ = opened.n_threads;
    device_ = std::make_unique<bitwright::Device>(std::move(opened.backend));
  }

 private:
  bitwright::Device& device(const Napi::CallbackInfo& info) {
    if (!device_) throw Napi::Error::New(info.Env(), "The native device is closed.");
    return *device_;
  }
  Napi::Value wrap(const Napi::CallbackInfo& info, Tensor tensor) {
    ++n_live_;
    return Handle::wrap(info.Env(), std::move(tensor));
  }
  Napi::Value kind(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), kind_); }
  Napi::Value name(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), name_); }
  Napi::Value threads(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), n_threads_); }

  Napi::Value from_bytes(const Napi::CallbackInfo& info) {
    TensorSpec spec = spec_from(info.Env(), info[0], info[1]);
    const Napi::Uint8Array bytes = info[2].As<Napi::Uint8Array>();
    if (static_cast<int64_t>(bytes.ByteLength()) != spec.bytes())
      throw Napi::RangeError::New(info.Env(), spec.text() + " has " + std::to_string(spec.bytes()) + " bytes, " + std::to_string(bytes.ByteLength()) + " were given.");
    return wrap(info, device(info).from_bytes(std::move(spec), bytes.Data()));
  }
  Napi::Value from_file(const Napi::CallbackInfo& info) {
    TensorSpec spec = spec_from(info.Env(), info[2], info[3]);
    return wrap(info, device(info).from_file(std::move(spec), info[0].As<Napi::String>(), info[1].As<Napi::Number>().Int64Value()));
  }
  Napi::Value zeros(const Napi::CallbackInfo& info) { return wrap(info, device(info).zeros(spec_from(info.Env(), info[0], info[1]))); }

  Napi::Value enqueue(const Napi::CallbackInfo& info) {
    const Napi::Array handles = info[1].As<Napi::Array>();
    std::vector<Tensor> inputs, results;
    for (uint32_t i = 0; i < handles.Length(); ++i) {
      const Napi::Value handle = handles.Get(i);
      inputs.push_back(handle.IsNull() ? nullptr : Handle::tensor_of(handle));
    }
    const Status status = device(info).enqueue(info[0].As<Napi::String>(), inputs, options_from(info.Env(), info[2]), results);
    if (!status.ok()) throw Napi::Error::New(info.Env(), status.message);
    Napi::Array answer = Napi::Array::New(info.Env());
    for (size_t i = 0; i < results.size(); ++i) answer.Set(static_cast<uint32_t>(i), wrap(info, results[i]));
    return answer;
  }
  Napi::Value to_host(const Napi::CallbackInfo& info) { return copied(info, &bitwright::Device::to_host); }
  Napi::Value to_device(const Napi::CallbackInfo& info) { return copied(info, &bitwright::Device::to_device); }
  Napi::Value copied(const Napi::CallbackInfo& info, Status (bitwright::Device::*copy)(Tensor, Tensor&)) {
    Tensor result;
    const Status status = (device(info).*copy)(Handle::tensor_of(info[0]), result);
    if (!status.ok()) throw Napi::Error::New(info.Env(), status.message);
    return wrap(info, std::move(result));
  }
  void limit(const Napi::CallbackInfo& info) { device(info).limit(info[0].As<Napi::Number>().Int64Value()); }
  void release(const Napi::CallbackInfo& info) {
    Handle* handle = Handle::Unwrap(info[0].As<Napi::Object>());
    if (!handle->tensor) throw Napi::Error::New(info.Env(), "A native tensor was released twice.");
    --n_live_;
    if (device_) device_->release(std::move(handle->tensor));
    handle->tensor = nullptr;
  }
  Napi::Value read(const Napi::CallbackInfo& info) {
    Settlement* settlement = Settlement::create(info.Env(), true);
    const Napi::Promise promise = settlement->deferred.Promise();
    device(info).read(Handle::tensor_of(info[0]), [settlement](Status status, std::vector<uint8_t> bytes) { settlement->settle(std::move(status), std::move(bytes)); });
    return promise;
  }
  Napi::Value sync(const Napi::CallbackInfo& info) {
    Settlement* settlement = Settlement::create(info.Env(), false);
    const Napi::Promise promise = settlement->deferred.Promise();
    device(info).sync([settlement](Status status) { settlement->settle(std::move(status), {}); });
    return promise;
  }
  void cancel(const Napi::CallbackInfo& info) { device(info).cancel(); }
  void resume(const Napi::CallbackInfo& info) { device(info).resume(); }
  Napi::Value memory(const Napi::CallbackInfo& info) {
    Napi::Object answer = Napi::Object::New(info.Env());
    answer.Set("current_bytes", static_cast<double>(device(info).current_bytes()));
    answer.Set("peak_bytes", static_cast<double>(device(info).peak_bytes()));
    answer.Set("host_bytes", static_cast<double>(device(info).host_bytes()));
    answer.Set("host_peak_bytes", static_cast<double>(device(info).host_peak_bytes()));
    const bitwright::Room room = device(info).room();
    answer.Set("total_bytes", room.total < 0 ? info.Env().Null() : Napi::Value(Napi::Number::New(info.Env(), static_cast<double>(room.total))));
    answer.Set("free_bytes", room.free < 0 ? info.Env().Null() : Napi::Value(Napi::Number::New(info.Env(), static_cast<double>(room.free))));
    answer.Set("limit_bytes", static_cast<double>(device(info).limit_bytes()));
    answer.Set("live_handles", static_cast<double>(n_live_));
    return answer;
  }
  void reset_peak(const Napi::CallbackInfo& info) { device(info).reset_peak(); }
  void close(const Napi::CallbackInfo&) { device_.reset(); }

  std::string kind_, name_;
  int n_threads_ = 1;
  std::unique_ptr<bitwright::Device> device_;
  int64_t n_live_ = 0;
};
Napi::FunctionReference DeviceWrap::constructor;

Napi::Value devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array answer = Napi::Array::New(env);
  uint32_t n = 0;
  for (const bitwright::ListedDevice& device : bitwright::list_devices()) {
    const bitwright::DeviceFacts& facts = device.facts;
    Napi::Object entry = Napi::Object::New(env), details = Napi::Object::New(env);
    for (const auto& [name, value] : facts.details) details.Set(name, value);
    entry.Set("kind", device.kind);
    entry.Set("index", device.index);
    entry.Set("name", facts.name);
    entry.Set("usable", facts.usable);
    entry.Set("reason", facts.usable ? env.Null() : Napi::Value(Napi::String::New(env, facts.reason)));
    entry.Set("memory_bytes", facts.memory_bytes < 0 ? env.Null() : Napi::Value(Napi::Number::New(env, static_cast<double>(facts.memory_bytes))));
    entry.Set("compute_capability", facts.compute_capability.empty() ? env.Null() : Napi::Value(Napi::String::New(env, facts.compute_capability)));
    entry.Set("details", details);
    answer.Set(n++, entry);
  }
  return answer;
}

Napi::Value open_device(const Napi::CallbackInfo& info) { return DeviceWrap::constructor.New({info[0], info[1], info[2]}); }

Napi::Object init(Napi::Env env, Napi::Object exports) {
  bitwright::make_blas_single_threaded();
  Handle::define(env);
  DeviceWrap::define(env);
  exports.Set("abi", abi);
  exports.Set("devices", Napi::Function::New(env, devices));
  exports.Set("openDevice", Napi::Function::New(env, open_device));
  return exports;
}

}  // namespace

NODE_API_MODULE(bitwright, init)
