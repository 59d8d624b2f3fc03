/*
 * A Vulkan layer that makes a driver fail at a chosen moment, so that what no machine does on demand can be tested: a
 * device that is lost, and memory that is used up. It needs no Vulkan headers.
 *
 *   FAULTY_SUBMIT=n  the device is lost at the n-th submit (VK_ERROR_DEVICE_LOST)
 *   FAULTY_WAIT=n    the same at the n-th wait for a fence or a semaphore
 *   FAULTY_LOOK=n    the same at the n-th look whether one is signalled
 *   FAULTY_ALLOC=n   from the n-th vkAllocateMemory on there is no memory left
 *   FAULTY_ONCE=f    it is lost so in one process only, which makes the file f
 *   FAULTY_COUNT=f   writes how many of each there were to the file f when the process ends
 *
 * A lost device stays lost; one that is made later works. device_loss.ts builds and uses it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int32_t Result;
typedef void (*Function)(void);
typedef Function (*GetInstanceProc)(void *instance, const char *name);
typedef Function (*GetDeviceProc)(void *device, const char *name);

enum { SUCCESS = 0, OUT_OF_DEVICE_MEMORY = -2, INITIALIZATION_FAILED = -3, DEVICE_LOST = -4 };
enum { LOADER_INSTANCE_CREATE_INFO = 47, LOADER_DEVICE_CREATE_INFO = 48 };

/* VkLayerInstanceLink and VkLayerDeviceLink begin alike. */
typedef struct Link {
  struct Link *next;
  GetInstanceProc instance_proc;
  GetDeviceProc device_proc;
} Link;

/* VkLayerInstanceCreateInfo and VkLayerDeviceCreateInfo. */
typedef struct Chain {
  int32_t type;
  struct Chain *next;
  int32_t function;
  Link *link;
} Chain;

typedef struct {
  int32_t type;
  Chain *next;
} CreateInfo;

static GetInstanceProc next_instance_proc;
static GetDeviceProc next_device_proc;
static int submits, waits, looks, allocations, lost, exhausted;

static int due(int count, const char *variable) {
  const char *value = getenv(variable);
  return value && count == atoi(value);
}

/* Whether no process before this one has lost its device. */
static int first(void) {
  const char *path = getenv("FAULTY_ONCE");
  if (!path) return 1;
  if (access(path, F_OK) == 0) return 0;
  FILE *file = fopen(path, "w");
  if (file) fclose(file);
  return 1;
}

static Link *take_link(CreateInfo *info, int32_t type) {
  for (Chain *chain = info->next; chain; chain = chain->next) {
    if (chain->type == type && chain->function == 0) {
      Link *link = chain->link;
      chain->link = link->next;
      return link;
    }
  }
  return NULL;
}

static Result create_instance(CreateInfo *info, const void *allocator, void **instance) {
  Link *link = take_link(info, LOADER_INSTANCE_CREATE_INFO);
  if (!link) return INITIALIZATION_FAILED;
  next_instance_proc = link->instance_proc;
  Result (*create)(CreateInfo *, const void *, void **) =
      (void *)next_instance_proc(NULL, "vkCreateInstance");
  return create ? create(info, allocator, instance) : INITIALIZATION_FAILED;
}

static void *instance_of_devices;

static Result create_device(void *adapter, CreateInfo *info, const void *allocator, void **device) {
  Link *link = take_link(info, LOADER_DEVICE_CREATE_INFO);
  if (!link) return INITIALIZATION_FAILED;
  next_device_proc = link->device_proc;
  lost = 0;
  Result (*create)(void *, CreateInfo *, const void *, void **) =
      (void *)link->instance_proc(instance_of_devices, "vkCreateDevice");
  return create ? create(adapter, info, allocator, device) : INITIALIZATION_FAILED;
}

/* Each function that can fail: the driver's own, and a wrapper. Arguments of every one fit six registers. */
typedef Result (*Six)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
#define SIX uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f

#define LOSES(name, count, variable)                            \
  static Six next_##name;                                       \
  static Result name(SIX) {                                     \
    if (due(++count, variable) && first()) lost = 1;            \
    return lost ? DEVICE_LOST : next_##name(a, b, c, d, e, f);  \
  }

LOSES(queue_submit, submits, "FAULTY_SUBMIT")
LOSES(queue_submit2, submits, "FAULTY_SUBMIT")
LOSES(wait_for_fences, waits, "FAULTY_WAIT")
LOSES(wait_semaphores, waits, "FAULTY_WAIT")
LOSES(device_wait_idle, waits, "FAULTY_WAIT")
LOSES(get_counter, looks, "FAULTY_LOOK")
LOSES(get_fence_status, looks, "FAULTY_LOOK")

static Six next_allocate;
static Result allocate(SIX) {
  if (due(++allocations, "FAULTY_ALLOC") && first()) exhausted = 1;
  if (exhausted) return OUT_OF_DEVICE_MEMORY;
  return next_allocate(a, b, c, d, e, f);
}

static const struct {
  const char *name;
  Six *next;
  Six wrapper;
} WRAPPED[] = {
    {"vkQueueSubmit", &next_queue_submit, queue_submit},
    {"vkQueueSubmit2", &next_queue_submit2, queue_submit2},
    {"vkQueueSubmit2KHR", &next_queue_submit2, queue_submit2},
    {"vkWaitForFences", &next_wait_for_fences, wait_for_fences},
    {"vkWaitSemaphores", &next_wait_semaphores, wait_semaphores},
    {"vkWaitSemaphoresKHR", &next_wait_semaphores, wait_semaphores},
    {"vkDeviceWaitIdle", &next_device_wait_idle, device_wait_idle},
    {"vkGetSemaphoreCounterValue", &next_get_counter, get_counter},
    {"vkGetSemaphoreCounterValueKHR", &next_get_counter, get_counter},
    {"vkGetFenceStatus", &next_get_fence_status, get_fence_status},
    {"vkAllocateMemory", &next_allocate, allocate},
};

static Function get_device_proc(void *device, const char *name) {
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (Function)get_device_proc;
  Function next = next_device_proc(device, name);
  for (size_t i = 0; next && i < sizeof WRAPPED / sizeof *WRAPPED; i++) {
    if (strcmp(name, WRAPPED[i].name) == 0) {
      *WRAPPED[i].next = (Six)next;
      return (Function)WRAPPED[i].wrapper;
    }
  }
  return next;
}

static Function get_instance_proc(void *instance, const char *name) {
  if (instance) instance_of_devices = instance;
  if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (Function)get_instance_proc;
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (Function)get_device_proc;
  if (strcmp(name, "vkCreateInstance") == 0) return (Function)create_instance;
  if (strcmp(name, "vkCreateDevice") == 0) return (Function)create_device;
  return next_instance_proc ? next_instance_proc(instance, name) : NULL;
}

/* VkNegotiateLayerInterface. */
typedef struct {
  int32_t type;
  void *next;
  uint32_t version;
  GetInstanceProc instance_proc;
  GetDeviceProc device_proc;
  void *physical_device_proc;
} Negotiation;

__attribute__((visibility("default"))) Result vkNegotiateLoaderLayerInterfaceVersion(Negotiation *it) {
  if (it->version > 2) it->version = 2;
  it->instance_proc = get_instance_proc;
  it->device_proc = get_device_proc;
  it->physical_device_proc = NULL;
  return SUCCESS;
}

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("FAULTY_COUNT");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "{\"submit\":%d,\"wait\":%d,\"look\":%d,\"alloc\":%d}\n", submits, waits, looks, allocations);
  fclose(file);
}
