/* Makes every sync to disk take longer, for load/slow-disk.sh: cc -shared -fPIC -o slow-sync.so slow-sync.c -ldl
 * SYNC_DELAY_US: microseconds that each one takes on top of its own time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int slowly(const char *name, int file) {
    const char *delay = getenv("SYNC_DELAY_US");
    long microseconds = delay ? atol(delay) : 0;
    struct timespec pause = {microseconds / 1000000, microseconds % 1000000 * 1000};
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (microseconds > 0) nanosleep(&pause, NULL);
    return sync(file);
}

int fsync(int file) { return slowly("fsync", file); }
int fdatasync(int file) { return slowly("fdatasync", file); }
