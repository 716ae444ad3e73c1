/*
 * Steps of the wall clock and suspends of the machine, as the script tells of them: what the
 * simulated driver (nvml.c) and the stepped clocks of a process (clocksteps.c) have in common.
 */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_STEPS = 64 };

struct step {
    int64_t at_ns, by_ns; /* since the driver's epoch */
    int suspend;
};

static struct step steps[MAX_STEPS];
static int step_count;
static int64_t driver_epoch_ns;

/* Takes a line of the script: 1 if it is understood, 0 if not, -1 if it is about something else. */
static int at_step(const char *key, const char *rest)
{
    double at_s, by;
    int suspend = !strcmp(key, "suspend");

    if (!strcmp(key, "epoch_ns"))
        return sscanf(rest, "%" SCNd64, &driver_epoch_ns) == 1;
    if (!suspend && strcmp(key, "clock_step"))
        return -1;
    if (step_count == MAX_STEPS || sscanf(rest, "%lf %lf", &at_s, &by) != 2 || (suspend && by < 0))
        return 0;
    steps[step_count++] =
        (struct step){llround(at_s * 1e9), llround(by * (suspend ? 1e9 : 1e6)), suspend};
    return 1;
}

/* How far the wall clock, or with `suspends` CLOCK_BOOTTIME, is ahead at an instant of
 * CLOCK_MONOTONIC, which stands still while the machine is suspended. */
static int64_t ahead_ns(int64_t t_ns, int suspends)
{
    int64_t sum = 0;
    for (int i = 0; i < step_count; i++)
        if (t_ns - driver_epoch_ns >= steps[i].at_ns && (steps[i].suspend || !suspends))
            sum += steps[i].by_ns;
    return sum;
}
