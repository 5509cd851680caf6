import NubStore
