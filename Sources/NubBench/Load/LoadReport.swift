import Foundation

/// Prints numbers as one JSON object, which is how the processes of a figure report.
func printNumbers(_ numbers: [String: Double]) throws(BenchError) {
  do {
    FileHandle.standardOutput.write(try JSONEncoder().encode(numbers))
  } catch {
    throw BenchError(.process, "cannot write the numbers", cause: error)
  }
}

/// What a watched process has used, at one moment.
struct UsageMark {
  let seconds = monotonicSeconds()
  let cpu: Double
  let memory: (now: Double, peak: Double)

  init(of process: Int32) {
    cpu = cpuSeconds(of: process) ?? 0
    memory = residentMiB(of: process)
  }
}
