// The fuzz targets, for libFuzzer, which the Swift toolchain ships. Built and run by ops/fuzz/run.
//
// Whatever the bytes: no crash, no trap, no access outside the memory that a target was given (the address sanitizer watches),
// and what each target says beside.

import Glibc
import NubBroker
import NubMachineFuzz
import NubSecurity
import NubWorkerFuzz

typealias Target = @Sendable (UnsafeRawBufferPointer) -> Void

let targets: [String: Target] = [
  "cap": fuzzCap,
  "directory": fuzzDirectory,
  "results": fuzzResults,
  "elf": fuzzELF,
  "gdb": fuzzGDB,
  "log": fuzzLog,
  "captext": fuzzCapText,
  "frames": fuzzFrames,
  "options": fuzzOptions,
  "journal": fuzzJournal,
  "mdp": fuzzMDP,
  "keys": fuzzKeys,
  "zap": fuzzZAP,
]

/// The one that this process runs.
private let chosen: Target = {
  let name = getenv("NUB_FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = targets[name] else {
    print("NUB_FUZZ_TARGET is \"\(name)\"; one of \(targets.keys.sorted().joined(separator: " "))")
    exit(2)
  }
  return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  chosen(UnsafeRawBufferPointer(start: start, count: count))
  return 0
}
