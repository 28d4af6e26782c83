/* A CUDA driver in host memory that knows who may call what. It stands in for libcuda.so.1, below the real bindings.

   Its rules are those of NVIDIA's driver API reference (docs.nvidia.com/cuda/cuda-driver-api), each at its function:
   - "Context Management": every thread has a stack of contexts; what lists CUDA_ERROR_INVALID_CONTEXT needs one on top.
   - "Primary Context Management": the context is reset when its last reference is released, whatever still lives in it;
     releasing one that is not retained fails; releasing does not pop it from any thread's stack.
   - "Stream Management", cuThreadExchangeStreamCaptureMode: a thread with a capture that was begun as THREAD_LOCAL must
     make no unsafe calls, such as allocating and freeing; another thread may. A call that breaks this ends the capture.
   - cuStreamEndCapture: by the thread that began it (unless it is RELAXED).
   - "Memory Management": cuMemFree and cuMemFreeHost may wait for the device, or not. So memory that queued work still
     uses must not be freed.
   Everything that lives is counted; everything that breaks a rule is counted too, because destructors hide errors. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       INVALID_HANDLE = 400, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, CAPTURE_WRONG_THREAD = 908 };
enum Kind { MEMORY, PINNED, STREAM, EVENT, GRAPH, EXECUTABLE, KINDS };

typedef struct Copy { void *to; const void *from; size_t bytes; struct Copy *next; } Copy;
typedef struct Pending { void *stream; Copy copy; struct Pending *next; } Pending;
typedef struct Item {
  enum Kind kind;
  void *memory;         /* of MEMORY and PINNED; their handle is this address */
  size_t bytes;
  struct Item *graph;   /* of a STREAM: what is being captured */
  pthread_t capturer;
  int mode, spoilt;
  Copy *copies;         /* of a GRAPH or an EXECUTABLE, last first */
  struct Item *next;
} Item;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Item *items;
static Pending *pending;
static int live[KINDS], made[KINDS], broken, retained, retained_ever;
static __thread int depth;
static __thread void *stack[64];
static char the_context;

static int fail(int status) { pthread_mutex_lock(&lock); broken++; pthread_mutex_unlock(&lock); return status; }
#define NEEDS_CONTEXT do { if (!depth || !retained) return fail(INVALID_CONTEXT); } while (0)

int vpp_live(int kind) { return live[kind]; }
int vpp_made(int kind) { return made[kind]; }
int vpp_broken(void) { return broken; }
int vpp_retained(void) { return retained; }
int vpp_depth(void) { return depth; }

static Item *add(enum Kind kind, size_t bytes) {
  Item *item = calloc(1, sizeof *item);
  item->kind = kind;
  if (kind == MEMORY || kind == PINNED) { item->memory = malloc(bytes ? bytes : 1); memset(item->memory, 0x55, bytes); }
  item->bytes = bytes;
  pthread_mutex_lock(&lock);
  item->next = items; items = item; live[kind]++; made[kind]++;
  pthread_mutex_unlock(&lock);
  return item;
}

static Item *find(enum Kind kind, const void *handle, int take) {
  Item *found = NULL;
  pthread_mutex_lock(&lock);
  for (Item **place = &items; *place; place = &(*place)->next)
    if ((*place)->kind == kind && ((*place)->memory ? (*place)->memory == handle : *place == handle)) {
      found = *place;
      if (take) { *place = found->next; live[kind]--; }
      break;
    }
  pthread_mutex_unlock(&lock);
  return found;
}

static int within(const void *address, size_t bytes) {
  int found = 0;
  pthread_mutex_lock(&lock);
  for (Item *item = items; item; item = item->next) {
    const char *begin = item->memory;
    if (begin && (const char *)address >= begin && (const char *)address + bytes <= begin + item->bytes) found = 1;
  }
  pthread_mutex_unlock(&lock);
  return found;
}

/* An unsafe call of a thread that captures. */
static int spoils(void) {
  int spoilt = 0;
  pthread_mutex_lock(&lock);
  for (Item *item = items; item; item = item->next)
    if (item->kind == STREAM && item->graph && item->mode != 2 && pthread_equal(item->capturer, pthread_self()))
      item->spoilt = spoilt = 1;
  pthread_mutex_unlock(&lock);
  return spoilt;
}
#define UNSAFE do { if (spoils()) return fail(CAPTURE_UNSUPPORTED); } while (0)

static void queued(void *stream, Copy copy) {
  Pending *more = malloc(sizeof *more);
  pthread_mutex_lock(&lock);
  *more = (Pending){stream, copy, pending};
  pending = more;
  pthread_mutex_unlock(&lock);
}
static void done(void *stream) {
  pthread_mutex_lock(&lock);
  for (Pending **place = &pending; *place;)
    if ((*place)->stream == stream) { Pending *gone = *place; *place = gone->next; free(gone); }
    else place = &(*place)->next;
  pthread_mutex_unlock(&lock);
}
static int in_use(const Item *item) {
  const char *begin = item->memory, *end = begin + item->bytes;
  int used = 0;
  pthread_mutex_lock(&lock);
  for (Pending *each = pending; each; each = each->next) {
    const char *to = each->copy.to, *from = each->copy.from;
    if ((to >= begin && to < end) || (from >= begin && from < end)) used = 1;
  }
  pthread_mutex_unlock(&lock);
  return used;
}

static int destroy(enum Kind kind, void *handle) {
  Item *item = find(kind, handle, 1);
  if (!item) return fail(kind == MEMORY || kind == PINNED ? INVALID_VALUE : INVALID_HANDLE);
  if (item->memory && in_use(item)) fail(OK);
  if (item->memory) { memset(item->memory, 0xdd, item->bytes); free(item->memory); }
  free(item);
  return OK;
}

/* The environment says how cuInit ends, and how many GPUs can be seen. */
static int setting(const char *name, int usual) { return getenv(name) ? atoi(getenv(name)) : usual; }
int cuInit(unsigned flags) { return setting("DRIVER_STATUS", OK); }
int cuDriverGetVersion(int *version) { *version = 12080; return OK; }
int cuDeviceGetCount(int *count) { *count = setting("DRIVER_GPUS", 2); return OK; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal < 0 || ordinal > 1 ? INVALID_DEVICE : OK; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, device ? "Slow" : "Fast", length); return OK; }
int cuDeviceGetPCIBusId(char *id, int length, int device) {
  strncpy(id, device ? "0000:01:00.0" : "0000:02:00.0", length);
  return OK;
}
int cuDeviceGetUuid_v2(char *uuid, int device) { memset(uuid, device ? 0x11 : 0x22, 16); return OK; }
int cuGetErrorString(int status, const char **text) {
  *text = status == OUT_OF_MEMORY ? "out of memory" : status == INVALID_CONTEXT ? "invalid device context" : "an error";
  return OK;
}
int cuGetErrorName(int status, const char **text) { *text = "CUDA_ERROR"; return OK; }

int cuDevicePrimaryCtxRetain(void **context, int device) {
  pthread_mutex_lock(&lock); retained++; retained_ever++; pthread_mutex_unlock(&lock);
  *context = &the_context;
  return OK;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
  if (!retained) return fail(INVALID_CONTEXT);
  pthread_mutex_lock(&lock);
  if (!--retained) for (int kind = 0; kind < KINDS; kind++) broken += live[kind]; /* reset under what lives in it */
  pthread_mutex_unlock(&lock);
  return OK;
}
int cuCtxPushCurrent_v2(void *context) {
  if (context != &the_context || depth == 64) return fail(INVALID_CONTEXT);
  stack[depth++] = context;
  return OK;
}
int cuCtxPopCurrent_v2(void **context) {
  if (!depth) return fail(INVALID_CONTEXT);
  void *top = stack[--depth];
  if (context) *context = top;
  return OK;
}
int cuCtxGetCurrent(void **context) { *context = depth ? stack[depth - 1] : NULL; return OK; }

int cuMemAlloc_v2(void **address, size_t bytes) {
  NEEDS_CONTEXT; UNSAFE;
  if (!bytes) return fail(INVALID_VALUE);
  if (bytes > (size_t)1 << 40) return OUT_OF_MEMORY;
  *address = add(MEMORY, bytes)->memory;
  return OK;
}
int cuMemFree_v2(void *address) { NEEDS_CONTEXT; UNSAFE; return destroy(MEMORY, address); }
int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
  NEEDS_CONTEXT; UNSAFE;
  if (!bytes) return fail(INVALID_VALUE);
  if (bytes > (size_t)1 << 40) return OUT_OF_MEMORY;
  *address = add(PINNED, bytes)->memory;
  return OK;
}
int cuMemFreeHost(void *address) { NEEDS_CONTEXT; UNSAFE; return destroy(PINNED, address); }

int cuStreamCreate(void **stream, unsigned flags) { NEEDS_CONTEXT; *stream = add(STREAM, 0); return OK; }
int cuStreamDestroy_v2(void *stream) { NEEDS_CONTEXT; UNSAFE; return destroy(STREAM, stream); }
int cuStreamSynchronize(void *stream) {
  NEEDS_CONTEXT; UNSAFE;
  done(stream);
  return find(STREAM, stream, 0) ? OK : fail(INVALID_HANDLE);
}
int cuEventCreate(void **event, unsigned flags) { NEEDS_CONTEXT; *event = add(EVENT, 0); return OK; }
int cuEventDestroy_v2(void *event) { NEEDS_CONTEXT; return destroy(EVENT, event); }
int cuEventRecord(void *event, void *stream) {
  NEEDS_CONTEXT;
  return find(EVENT, event, 0) && find(STREAM, stream, 0) ? OK : fail(INVALID_HANDLE);
}
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { return cuEventRecord(event, stream); }

static int copy(void *to, const void *from, size_t bytes, void *stream) {
  Item *queue = find(STREAM, stream, 0);
  if (!queue) return fail(INVALID_HANDLE);
  if (!within(to, bytes) || !within(from, bytes)) return fail(INVALID_VALUE);
  if (!queue->graph) { memmove(to, from, bytes); queued(stream, (Copy){to, from, bytes, NULL}); return OK; }
  Copy *node = malloc(sizeof *node);
  *node = (Copy){to, from, bytes, queue->graph->copies};
  queue->graph->copies = node;
  return OK;
}
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *s) { NEEDS_CONTEXT; return copy(to, from, bytes, s); }
int cuMemcpyDtoHAsync_v2(void *to, void *from, size_t bytes, void *s) { NEEDS_CONTEXT; return copy(to, from, bytes, s); }
int cuMemcpyDtoDAsync_v2(void *to, void *from, size_t bytes, void *s) { NEEDS_CONTEXT; return copy(to, from, bytes, s); }

int cuStreamBeginCapture_v2(void *stream, int mode) {
  NEEDS_CONTEXT;
  Item *queue = find(STREAM, stream, 0);
  if (!queue || queue->graph) return fail(INVALID_HANDLE);
  queue->graph = add(GRAPH, 0); queue->capturer = pthread_self(); queue->mode = mode; queue->spoilt = 0;
  return OK;
}
int cuStreamEndCapture(void *stream, void **graph) {
  NEEDS_CONTEXT;
  Item *queue = find(STREAM, stream, 0);
  *graph = NULL;
  if (!queue || !queue->graph) return fail(INVALID_VALUE);
  if (queue->mode != 2 && !pthread_equal(queue->capturer, pthread_self())) return fail(CAPTURE_WRONG_THREAD);
  Item *captured = queue->graph;
  queue->graph = NULL;
  if (queue->spoilt) { destroy(GRAPH, captured); return CAPTURE_INVALIDATED; }
  *graph = captured;
  return OK;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
  NEEDS_CONTEXT;
  Item *source = find(GRAPH, graph, 0);
  if (!source) return fail(INVALID_VALUE);
  Item *made_of = add(EXECUTABLE, 0);
  made_of->copies = source->copies;
  *executable = made_of;
  return OK;
}
int cuGraphDestroy(void *graph) { return destroy(GRAPH, graph); }
int cuGraphExecDestroy(void *executable) { return destroy(EXECUTABLE, executable); }
static void replay(Copy *node, void *stream) {
  if (!node) return;
  replay(node->next, stream);
  memmove(node->to, node->from, node->bytes);
  queued(stream, *node);
}
int cuGraphLaunch(void *executable, void *stream) {
  NEEDS_CONTEXT;
  Item *graph = find(EXECUTABLE, executable, 0);
  if (!graph || !find(STREAM, stream, 0)) return fail(INVALID_VALUE);
  replay(graph->copies, stream);
  return OK;
}

int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status);
static const struct { const char *name; void *function; } FUNCTIONS[] = {
#define F(name) {#name, (void *)name}
#define V2(name) {#name, (void *)name##_v2}
    F(cuInit), F(cuDriverGetVersion), F(cuDeviceGetCount), F(cuDeviceGet), F(cuDeviceGetName), F(cuDeviceGetPCIBusId),
    V2(cuDeviceGetUuid), F(cuGetErrorString), F(cuGetErrorName), F(cuDevicePrimaryCtxRetain),
    V2(cuDevicePrimaryCtxRelease), V2(cuCtxPushCurrent), V2(cuCtxPopCurrent), F(cuCtxGetCurrent), V2(cuMemAlloc),
    V2(cuMemFree), F(cuMemHostAlloc), F(cuMemFreeHost), F(cuStreamCreate), V2(cuStreamDestroy), F(cuStreamSynchronize),
    F(cuEventCreate), V2(cuEventDestroy), F(cuEventRecord), F(cuStreamWaitEvent), V2(cuMemcpyHtoDAsync),
    V2(cuMemcpyDtoHAsync), V2(cuMemcpyDtoDAsync), {"cuStreamBeginCapture", (void *)cuStreamBeginCapture_v2},
    F(cuStreamEndCapture), {"cuGraphInstantiate", (void *)cuGraphInstantiateWithFlags}, F(cuGraphInstantiateWithFlags),
    F(cuGraphDestroy), F(cuGraphExecDestroy), F(cuGraphLaunch), {"cuGetProcAddress", (void *)cuGetProcAddress_v2}};

int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
  *function = NULL;
  for (size_t place = 0; place < sizeof FUNCTIONS / sizeof *FUNCTIONS; place++)
    if (!strcmp(name, FUNCTIONS[place].name)) *function = FUNCTIONS[place].function;
  if (status) *status = *function ? 0 : 1;
  return OK;
}
