// Lets a C++ compiler compile the kernels, for the tests. Blocks run one after the other. With LANES 1 a warp is one thread; with LANES 32
// each lane is a thread of the system, and the lanes meet where those of a card do.

#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#define KERNEL static void
#define DEVICE static inline

struct Place {
    unsigned x, y;
};
static thread_local Place threadIdx;
static Place blockIdx, blockDim;

struct Meeting {
    std::mutex mutex;
    std::condition_variable all_there;
    int waiting = 0;
    long round = 0;

    void wait() {
        std::unique_lock<std::mutex> lock(mutex);
        long mine = round;
        if (++waiting == LANES) {
            waiting = 0;
            round++;
            all_there.notify_all();
        } else {
            all_there.wait(lock, [&] { return round != mine; });
        }
    }
};
static Meeting meeting;
static float shown[LANES];

static float __shfl_xor_sync(unsigned, float x, int distance) {
    shown[threadIdx.x] = x;
    meeting.wait();
    float other = shown[threadIdx.x ^ distance];
    meeting.wait();
    return other;
}

static unsigned bits_of(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}

static float of_bits(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

// To the nearest, ties to even, as `cvt.rn.f16.f32`.
static unsigned short to_float16(float x) {
    unsigned sign = bits_of(x) >> 16 & 0x8000u;
    float size = std::fabs(x);
    if (std::isnan(x)) {
        return 0x7fff;
    }
    if (size >= 65520.0f) {
        return (unsigned short)(sign | 0x7c00u);
    }
    if (size < 6.103515625e-5f) {
        // Numbers below the normal ones are whole multiples of 2^-24.
        return (unsigned short)(sign | (unsigned)std::nearbyint(size * 16777216.0f));
    }
    unsigned bits = bits_of(size);
    bits += 0xfffu + (bits >> 13 & 1u);
    return (unsigned short)(sign | ((bits >> 13) - (112u << 10)));
}

static float of_float16(unsigned short bits) {
    unsigned exponent = bits >> 10 & 31u, fraction = bits & 1023u;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                                : (exponent ? std::ldexp(1024.0f + fraction, (int)exponent - 25) : std::ldexp((float)fraction, -24));
    return bits & 0x8000u ? -size : size;
}
