#include "nub_sha.h"
