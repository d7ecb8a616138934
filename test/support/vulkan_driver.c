// A Vulkan driver in front of a real one, which it stands for until a file appears: then its device is lost, or its
// memory full, as any driver says it. The tests of graphics devices that fail run on it.
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*Function)(void);
typedef Function (*Lookup)(void *, const char *);

enum { out_of_device_memory = -2, device_lost = -4 };

static void *driver;
static Lookup instance_lookup, device_lookup;
static int32_t (*real_submit)(void *, uint32_t, const void *, uint64_t);
static int32_t (*real_allocate)(void *, const void *, const void *, uint64_t *);

static int exists(const char *variable) {
  const char *path = getenv(variable);
  return path && access(path, F_OK) == 0;
}

static int32_t submit(void *queue, uint32_t count, const void *submits, uint64_t fence) {
  return exists("DRIVER_LOST") ? device_lost : real_submit(queue, count, submits, fence);
}

static int32_t allocate(void *device, const void *info, const void *allocator, uint64_t *memory) {
  return exists("DRIVER_FULL") ? out_of_device_memory : real_allocate(device, info, allocator, memory);
}

static Function ours(const char *name, Function real);

static Function from_device(void *device, const char *name) { return ours(name, device_lookup(device, name)); }

static Function ours(const char *name, Function real) {
  if (!real) return real;
  if (!strcmp(name, "vkQueueSubmit")) {
    real_submit = (void *)real;
    return (Function)submit;
  }
  if (!strcmp(name, "vkAllocateMemory")) {
    real_allocate = (void *)real;
    return (Function)allocate;
  }
  if (!strcmp(name, "vkGetDeviceProcAddr")) {
    device_lookup = (Lookup)real;
    return (Function)from_device;
  }
  return real;
}

static void *symbol(const char *name) {
  if (!driver) driver = dlopen(getenv("DRIVER"), RTLD_NOW | RTLD_LOCAL);
  return driver ? dlsym(driver, name) : 0;
}

Function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
  if (!instance_lookup) instance_lookup = (Lookup)symbol("vk_icdGetInstanceProcAddr");
  return instance_lookup ? ours(name, instance_lookup(instance, name)) : 0;
}

Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
  Lookup lookup = (Lookup)symbol("vk_icdGetPhysicalDeviceProcAddr");
  return lookup ? lookup(instance, name) : 0;
}

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  int32_t (*negotiate)(uint32_t *) = symbol("vk_icdNegotiateLoaderICDInterfaceVersion");
  return negotiate ? negotiate(version) : -3;
}
