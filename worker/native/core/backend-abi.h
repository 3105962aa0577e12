// What a backend that is a library of its own exports: one C function that answers one table of C functions. Plain C, so that library and core
// need not come from one compiler; the version is raised with every change of what stands here.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BITWRIGHT_BACKEND_ABI 4
/// The symbol that a library exports; its type is bitwright_backend_function.
#define BITWRIGHT_BACKEND_SYMBOL "bitwright_backend"

/// Sentences come back in a buffer of this size that the caller owns.
#define BITWRIGHT_TEXT_SIZE 2048
/// What `run` answers when it ended because `cancelled` said so; no sentence is written.
#define BITWRIGHT_CANCELLED 2

struct bitwright_tensor {
  int32_t dtype; /* the value of DType in dtype.h */
  int32_t present;
  int64_t rank;
  const int64_t* shape;
  void* data; /* memory of the device */
};

enum bitwright_option_kind { bitwright_number = 0, bitwright_flag = 1, bitwright_text = 2 };

struct bitwright_option {
  const char* name;
  int32_t kind;
  double number; /* a flag is 0 or 1 */
  const char* text;
};

struct bitwright_call {
  const char* operation;
  const struct bitwright_tensor* inputs;
  const struct bitwright_tensor* results;
  const struct bitwright_option* options;
  int32_t n_inputs, n_results, n_options;
  /* Not 0 when nobody wants the results any more. Long operations ask between their steps, and then end at once with the answer BITWRIGHT_CANCELLED. */
  int32_t (*cancelled)(const void* state);
  const void* state;
};

struct bitwright_fact {
  char name[64];
  char value[448];
};

struct bitwright_device_info {
  char name[256];
  int32_t usable;
  char reason[BITWRIGHT_TEXT_SIZE]; /* empty when usable */
  int64_t memory_bytes;             /* -1: not known */
  char compute_capability[16];      /* empty: not known */
  int32_t n_facts;
  struct bitwright_fact facts[16];
};

/* Functions that can fail answer 0 when all went well, else they write a sentence. */
struct bitwright_backend_table {
  int32_t abi;
  const char* kind;
  /* At least 1: where there is no device, the one that is listed says why. */
  int32_t (*n_devices)(void);
  void (*describe)(int32_t index, struct bitwright_device_info* info);
  void* (*open)(int32_t index, char* text);
  void (*close)(void* device);
  void* (*take)(void* device, int64_t bytes);
  void (*give)(void* device, void* block, int64_t bytes);
  int32_t (*clear)(void* device, void* to, int64_t bytes, char* text);
  /* `read` writes the piece [offset, offset + bytes) of the source to host memory and answers 0, or something else to end early. */
  int32_t (*fill)(void* device, void* to, int64_t bytes, int32_t (*read)(void* state, void* host, int64_t offset, int64_t bytes), void* state, char* text);
  int32_t (*fetch)(void* device, void* to, const void* from, int64_t bytes, char* text);
  /* Not 0 when the library has the operation. */
  int32_t (*has)(const char* operation);
  int32_t (*run)(void* device, const struct bitwright_call* call, char* text);
  int32_t (*settle)(void* device, char* text);
  /* A floor of this device: "copy" bytes per second of a copy of m bytes (read and write counted), "gemm-bf16" and "gemm-f32" operations per second of a product m × n × k. */
  int32_t (*measure)(void* device, const char* what, int64_t m, int64_t n, int64_t k, double* rate, char* text);
  /* A hard cap on the memory that is taken from the device at a time, kept blocks counted in; 0: none. */
  void (*limit)(void* device, int64_t bytes);
  /* Bytes of the device, and those that `take` could still get; -1 where they are not known. */
  void (*room)(void* device, int64_t* total, int64_t* free);
  /* Pinned memory of the host, and copies between it and the device in the order of the work, which may answer before the copy is done. */
  void* (*take_host)(void* device, int64_t bytes);
  void (*give_host)(void* device, void* block, int64_t bytes);
  int32_t (*to_host)(void* device, void* host, const void* from, int64_t bytes, char* text);
  int32_t (*to_device)(void* device, void* to, const void* host, int64_t bytes, char* text);
  /* Bytes of the device at their most, tensors and what operations took beside them, since a call whose `begins_anew` was not 0. */
  int64_t (*peak)(void* device, int32_t begins_anew);
};

typedef const struct bitwright_backend_table* (*bitwright_backend_function)(void);

#ifdef __cplusplus
}
#endif
