// NVRTC, imitated: the driver beside it has the kernels already.

#include <cstring>

typedef int Status;

#define API extern "C" __attribute__((visibility("default"))) Status

static const char code[] = "imitated";

API nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 2;
    return 0;
}

API nvrtcCreateProgram(void **program, const char *source, const char *, int, const char *const *, const char *const *) {
    *program = (void *)code;
    return std::strstr(source, "KERNEL normalise") == nullptr;
}

API nvrtcCompileProgram(void *, int count, const char *const *options) {
    return count < 1 || std::strcmp(options[0], "--gpu-architecture=sm_90") != 0;
}

API nvrtcGetProgramLogSize(void *, size_t *size) {
    *size = 1;
    return 0;
}

API nvrtcGetProgramLog(void *, char *log) {
    *log = 0;
    return 0;
}

API nvrtcGetCUBINSize(void *, size_t *size) {
    *size = sizeof code;
    return 0;
}

API nvrtcGetCUBIN(void *, char *to) {
    std::memcpy(to, code, sizeof code);
    return 0;
}

API nvrtcDestroyProgram(void **) {
    return 0;
}
