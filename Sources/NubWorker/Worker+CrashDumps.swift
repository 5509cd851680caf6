internal import NubMachine

extension Worker {
  /// Writes a core file of each guest that runs at this moment into the folder for crash dumps. The guests are stopped for that
  /// and go on; the time does not count towards their jobs' deadlines. Any thread.
  ///
  /// - Parameter completion: called once for each guest that was asked, on its lane's thread: its sandbox, and the file's path or
  ///   why there is none. A guest whose batch ends at this moment is not dumped.
  /// - Returns: how many guests were asked.
  /// - Throws: ``WorkerError`` with code `configuration` where no folder for crash dumps is configured.
  @discardableResult
  public func dumpRunningGuests(
    _ completion: @escaping @Sendable (_ sandbox: UInt64, Result<String, WorkerError>) -> Void
  ) throws(WorkerError) -> Int {
    guard let folder = configuration.crashDumpPath else {
      throw WorkerError(.configuration, "there is no folder for crash dumps; name one with --crash-dumps")
    }
    let dumps = CrashDumpConfiguration(directory: folder)
    var asked = 0
    for (sandbox, dump) in board.lanes?.dumps ?? [] {
      let isAsked = dump(dumps.newPath(sandbox: sandbox)) { result in
        dumps.prune()
        completion(sandbox, result)
      }
      if isAsked { asked += 1 }
    }
    return asked
  }
}
