internal import CZeroMQ

extension Door {
  /// Where a fleet door's thread finds it.
  static func fleetEndpoint(_ index: Int) -> String { "inproc://nub-fleet-\(index)" }

  /// Opens a door's sockets.
  ///
  /// - Returns: the door, and its endpoints as bound.
  static func open(
    _ door: WorkerConfiguration.Door, index: Int, configuration: WorkerConfiguration,
    context: Context, curve: CurveGuard?, poller: inout Poller
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
        let keys = try socket.encrypt(for: endpoint, curve)
        let bound = try socket.attach(endpoint)
        let door = Door(index: index, router: socket, poller: &poller)
        door.authorizedKeys = keys
        return (door, [bound])
      case .fleet(let broker, _, _):
        // A direct door inside the process; the fleet's thread is its only producer (FleetBridge).
        options.receiveHighWaterMark = 0
        options.sendHighWaterMark = 0
        let socket = try Socket(context, .router)
        try socket.apply(options)
        try socket.requireRoutes()
        try socket.bind(Self.fleetEndpoint(index))
        return (Door(index: index, router: socket, poller: &poller), [broker.address])
      case .pipeline(let jobs, let replies):
        // What ZeroMQ holds when the worker dies is lost, so it holds no more than a few batches (docs: delivery).
        options.receiveHighWaterMark = Int32(
          clamping: min(configuration.maximumJobs, 2 * configuration.batchJobs))
        // The collector first: there is no use in jobs whose replies have nowhere to go.
        let output = try Socket(context, .push)
        try output.apply(options)
        // Any collector may get any reply.
        _ = try output.encrypt(for: replies, curve, isForAllTenants: true)
        let outputEndpoint = try output.attach(replies)
        let input = try Socket(context, .pull)
        try input.apply(options)
        let keys = try input.encrypt(for: jobs, curve)
        let inputEndpoint = try input.attach(jobs)
        let door = Door(index: index, pull: input, push: output, poller: &poller)
        door.authorizedKeys = keys
        return (door, [inputEndpoint, outputEndpoint])
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
