#include "nub_cpu.h"
