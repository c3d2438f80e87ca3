// NVIDIA's driver, imitated: one card in main memory. It keeps the rules that a program can break unseen:
//
// - What is put onto a stream is done when the stream is waited for, and not before: who reads too early, or writes again too early, gets
//   wrong numbers.
// - Memory is not what it was: all bits are set, which is NaN.
// - A thread without a context gets an error.
//
// The kernels are those of crates/model, compiled for the processor. build.sh puts host.h, their source and host_calls.h before this.

#include <cstdio>
#include <functional>
#include <map>
#include <set>
#include <string>

typedef int Status;
typedef unsigned long long Address;
enum { SUCCESS = 0, INVALID_VALUE = 1, INVALID_CONTEXT = 201, NOT_FOUND = 500 };

static std::mutex lock;
static std::map<void *, std::vector<std::function<void()>>> streams;
static std::map<Address, size_t> memory;
static int a_context, a_module;
static thread_local void *current = nullptr;

#define API extern "C" __attribute__((visibility("default"))) Status
#define NEEDS_CONTEXT                                                                                                                       \
    if (current == nullptr) {                                                                                                               \
        return INVALID_CONTEXT;                                                                                                             \
    }

// Also for the imitation of cuBLASLt.
extern "C" __attribute__((visibility("default"))) bool imitated_put(void *stream, std::function<void()> work) {
    std::lock_guard<std::mutex> guard(lock);
    auto found = streams.find(stream);
    if (found == streams.end() || current == nullptr) {
        return false;
    }
    found->second.push_back(std::move(work));
    return true;
}

static void finish(void *stream) {
    std::vector<std::function<void()>> work;
    work.swap(streams[stream]);
    for (auto &one : work) {
        one();
    }
}

// Whether so many bytes lie in one piece of memory.
static bool lies_in_memory(Address from, size_t bytes) {
    auto after = memory.upper_bound(from);
    if (after == memory.begin()) {
        return false;
    }
    auto piece = std::prev(after);
    return from + bytes <= piece->first + piece->second;
}

API cuInit(unsigned) {
    return SUCCESS;
}

API cuDriverGetVersion(int *version) {
    *version = 13020;
    return SUCCESS;
}

API cuDeviceGetCount(int *count) {
    *count = 1;
    return SUCCESS;
}

API cuDeviceGet(int *device, int number) {
    *device = number;
    return number == 0 ? SUCCESS : INVALID_VALUE;
}

API cuDeviceGetName(char *name, int length, int) {
    std::snprintf(name, length, "an imitation in main memory");
    return SUCCESS;
}

// Compute capability 9.0, and no memory pools.
API cuDeviceGetAttribute(int *value, int attribute, int) {
    *value = attribute == 75 ? 9 : 0;
    return SUCCESS;
}

API cuDevicePrimaryCtxRetain(void **context, int) {
    *context = &a_context;
    return SUCCESS;
}

API cuDevicePrimaryCtxRelease_v2(int) {
    return SUCCESS;
}

API cuCtxGetCurrent(void **context) {
    *context = current;
    return SUCCESS;
}

API cuCtxSetCurrent(void *context) {
    current = context;
    return SUCCESS;
}

API cuCtxSynchronize() {
    NEEDS_CONTEXT
    std::lock_guard<std::mutex> guard(lock);
    for (auto &stream : streams) {
        finish(stream.first);
    }
    return SUCCESS;
}

API cuGetErrorString(Status, const char **text) {
    *text = "an error of the imitation";
    return SUCCESS;
}

API cuMemGetInfo_v2(size_t *free, size_t *total) {
    NEEDS_CONTEXT
    *free = *total = (size_t)1 << 30;
    return SUCCESS;
}

API cuMemAlloc_v2(Address *address, size_t bytes) {
    NEEDS_CONTEXT
    void *piece = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(piece, 0xff, bytes);
    *address = (Address)piece;
    std::lock_guard<std::mutex> guard(lock);
    memory[*address] = bytes;
    return SUCCESS;
}

API cuMemFree_v2(Address address) {
    NEEDS_CONTEXT
    Status done = cuCtxSynchronize();
    std::lock_guard<std::mutex> guard(lock);
    if (memory.erase(address) == 0) {
        return INVALID_VALUE;
    }
    std::free((void *)address);
    return done;
}

API cuMemHostAlloc(void **address, size_t bytes, unsigned) {
    NEEDS_CONTEXT
    *address = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    return SUCCESS;
}

API cuMemFreeHost(void *address) {
    std::free(address);
    return SUCCESS;
}

API cuMemcpyHtoD_v2(Address to, const void *from, size_t bytes) {
    NEEDS_CONTEXT
    std::lock_guard<std::mutex> guard(lock);
    if (!lies_in_memory(to, bytes)) {
        return INVALID_VALUE;
    }
    std::memcpy((void *)to, from, bytes);
    return SUCCESS;
}

API cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *stream) {
    if (!lies_in_memory(to, bytes)) {
        return INVALID_VALUE;
    }
    return imitated_put(stream, [=] { std::memcpy((void *)to, from, bytes); }) ? SUCCESS : INVALID_VALUE;
}

API cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *stream) {
    if (!lies_in_memory(from, bytes)) {
        return INVALID_VALUE;
    }
    return imitated_put(stream, [=] { std::memcpy(to, (const void *)from, bytes); }) ? SUCCESS : INVALID_VALUE;
}

API cuStreamCreate(void **stream, unsigned) {
    NEEDS_CONTEXT
    std::lock_guard<std::mutex> guard(lock);
    *stream = new int;
    streams[*stream];
    return SUCCESS;
}

API cuStreamSynchronize(void *stream) {
    NEEDS_CONTEXT
    std::lock_guard<std::mutex> guard(lock);
    finish(stream);
    return SUCCESS;
}

API cuStreamDestroy_v2(void *stream) {
    std::lock_guard<std::mutex> guard(lock);
    finish(stream);
    streams.erase(stream);
    delete (int *)stream;
    return SUCCESS;
}

API cuEventCreate(void **event, unsigned) {
    *event = new int;
    return SUCCESS;
}

API cuEventRecord(void *, void *) {
    return SUCCESS;
}

API cuEventSynchronize(void *) {
    return SUCCESS;
}

API cuEventDestroy_v2(void *event) {
    delete (int *)event;
    return SUCCESS;
}

API cuModuleLoadData(void **module, const void *code) {
    NEEDS_CONTEXT
    *module = &a_module;
    return std::memcmp(code, "imitated", 8) == 0 ? SUCCESS : INVALID_VALUE;
}

API cuModuleUnload(void *) {
    return SUCCESS;
}

API cuModuleGetFunction(void **function, void *, const char *name) {
    void *none = nullptr;
    static std::set<std::string> names;
    if (launch(name, &none, 0, 1) != 0) {
        return NOT_FOUND;
    }
    *function = (void *)names.insert(name).first->c_str();
    return SUCCESS;
}

// Sizes of a kernel's arguments, in their order.
template <class... Arguments>
static std::vector<size_t> sizes_of(void (*)(Arguments...)) {
    return {sizeof(Arguments)...};
}

static std::vector<size_t> sizes_of(const std::string &name) {
#define SIZES(kernel)                                                                                                                       \
    if (name == #kernel) {                                                                                                                  \
        return sizes_of(kernel);                                                                                                            \
    }
    SIZES(normalise)
    SIZES(softmax)
    SIZES(activate)
    SIZES(convert)
    SIZES(gather)
    SIZES(patches)
    SIZES(repeat)
    SIZES(first_query)
    SIZES(mean_of_heads)
    SIZES(values_of_heads)
    return {};
}

// The arguments are copied now; the kernel runs when the stream is waited for.
API cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                   unsigned shared, void *stream, void **arguments, void **) {
    bool is_right = grid_x > 0 && grid_y == 1 && grid_z == 1 && block_x == 32 && block_y > 0 && block_x * block_y <= 1024 && block_z == 1;
    if (!is_right || shared != 0) {
        return INVALID_VALUE;
    }
    std::string name = (const char *)function;
    std::vector<std::vector<char>> copies;
    size_t at = 0;
    for (size_t size : sizes_of(name)) {
        copies.emplace_back((char *)arguments[at], (char *)arguments[at] + size);
        at++;
    }
    auto work = [=]() mutable {
        std::vector<void *> pointers;
        for (auto &copy : copies) {
            pointers.push_back(copy.data());
        }
        launch(name.c_str(), pointers.data(), grid_x, block_y);
    };
    return imitated_put(stream, work) ? SUCCESS : INVALID_VALUE;
}
