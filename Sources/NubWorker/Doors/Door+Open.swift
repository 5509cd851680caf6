internal import CZeroMQ

extension Door {
  /// Opens a door's sockets.
  ///
  /// - Returns: the door, and its endpoints as bound.
  static func open(
    _ door: WorkerConfiguration.Door, index: Int, configuration: WorkerConfiguration,
    context: Context, poller: inout Poller
  ) throws(WorkerError) -> (door: Door, endpoints: [String]) {
    var options = SocketOptions()
    options.lingerMilliseconds = Int32(clamping: configuration.lingerMilliseconds)
    options.maximumFrameBytes = Int64(configuration.maximumMessageBytes)
    do throws(ZMQError) {
      switch door {
      case .direct(let endpoint):
        options.receiveHighWaterMark = 1_000
        let socket = try Socket(context, .router)
        try socket.apply(options)
        try socket.requireRoutes()
        let bound = try socket.attach(endpoint)
        return (Door(index: index, router: socket, poller: &poller), [bound])
      case .pipeline(let jobs, let replies):
        // What ZeroMQ holds when the worker dies is lost, so it holds no more than a few batches (docs: delivery).
        options.receiveHighWaterMark = Int32(
          clamping: min(configuration.maximumJobs, 2 * configuration.batchJobs))
        // The collector first: there is no use in jobs whose replies have nowhere to go.
        let output = try Socket(context, .push)
        try output.apply(options)
        let outputEndpoint = try output.attach(replies)
        let input = try Socket(context, .pull)
        try input.apply(options)
        let inputEndpoint = try input.attach(jobs)
        return (
          Door(index: index, pull: input, push: output, poller: &poller),
          [inputEndpoint, outputEndpoint]
        )
      }
    } catch {
      throw WorkerError(.transport, "cannot open door \(index + 1)", cause: error)
    }
  }
}

extension Socket {
  /// - Returns: the endpoint, with wildcards resolved.
  func attach(_ endpoint: Endpoint) throws(ZMQError) -> String {
    switch endpoint.attachment {
    case .bind:
      try bind(endpoint.address)
      return try lastEndpoint()
    case .connect:
      try connect(endpoint.address)
      return endpoint.address
    }
  }
}
