#include "nub_guest_cpu.h"
