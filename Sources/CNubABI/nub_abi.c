#include "nub_abi.h"
