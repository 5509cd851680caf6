#include "nub_kvm.h"
