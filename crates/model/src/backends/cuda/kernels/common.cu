// What all kernels share. The same source is compiled by NVRTC for cards and, after `host.h`, by a C++ compiler for the tests.
//
// Every kernel gives each warp one row, whose values its lanes take in turn. There is no shared memory and no barrier: lanes meet in
// `sum_of_lanes` and `largest_of_lanes` alone.

#ifdef __CUDACC__
#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define LANES 32
#endif

// Counts of values pass 2^31 on large batches.
typedef long long Count;

enum Format { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2 };

DEVICE Count row_of_warp() {
    return (Count)blockIdx.x * blockDim.y + threadIdx.y;
}

DEVICE float sum_of_lanes(float x) {
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    }
    return x;
}

DEVICE float largest_of_lanes(float x) {
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
    }
    return x;
}

#ifdef __CUDACC__
DEVICE unsigned bits_of(float x) {
    return __float_as_uint(x);
}

DEVICE float of_bits(unsigned bits) {
    return __uint_as_float(bits);
}

// As in cuda_fp16.h, which NVRTC's wheel has not.
DEVICE unsigned short to_float16(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

DEVICE float of_float16(unsigned short bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
#endif

// To the nearest, ties to even. Cards before sm_80 have no instruction for it.
DEVICE unsigned short to_bfloat16(float x) {
    unsigned bits = bits_of(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (unsigned short)(bits >> 16 | 0x40u);
    }
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

DEVICE float load(const void *from, Count at, int format) {
    if (format == BFLOAT16) {
        return of_bits((unsigned)((const unsigned short *)from)[at] << 16);
    }
    if (format == FLOAT16) {
        return of_float16(((const unsigned short *)from)[at]);
    }
    return ((const float *)from)[at];
}

DEVICE void store(void *to, Count at, float x, int format) {
    if (format == BFLOAT16) {
        ((unsigned short *)to)[at] = to_bfloat16(x);
    } else if (format == FLOAT16) {
        ((unsigned short *)to)[at] = to_float16(x);
    } else {
        ((float *)to)[at] = x;
    }
}
