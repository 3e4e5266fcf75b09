/* What stands in for NVIDIA's library where there is no GPU: two of them, with the interface of the
   true one as far as the agent asks. `nvmlDevice_t` is a pointer for it. -DINIT=N is what the first
   call answers. */
#include <stdio.h>

int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code ? "an error" : "success"; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = 2;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(unsigned long)(index + 1);
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *text, unsigned length) {
    snprintf(text, length, "GPU-%lu", (unsigned long)device);
    return 0;
}

int nvmlDeviceGetMinorNumber(void *device, unsigned *minor) {
    *minor = (unsigned)(unsigned long)device + 3;
    return 0;
}

int nvmlDeviceGetName(void *device, char *text, unsigned length) {
    (void)device;
    snprintf(text, length, "Stand-in");
    return 0;
}
