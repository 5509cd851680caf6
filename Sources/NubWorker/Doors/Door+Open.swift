internal import NubZMQ

extension Door {
  /// Where a fleet door's thread finds it.
  static func fleetEndpoint(_ index: Int) -> String { "inproc://nub-fleet-\(index)" }

  /// Opens a door's sockets.
  ///
  /// - Returns: the door, and its endpoints as bound.
  static func open(
    _ door: WorkerConfiguration.Door, index: Int, configuration: WorkerConfiguration,
    context: Context, curve: CurveGuard?, poller: inout PollSet
  ) throws(WorkerError) -> (door: Door, endpoints: [String]) {
    var options = SocketOptions()
    options.lingerMilliseconds = Int32(clamping: configuration.lingerMilliseconds)
    options.maximumFrameBytes = Int64(configuration.maximumMessageBytes)
    do throws(ZMQError) {
      switch door {
      case .direct(let endpoint):
        // It is always read, for refusals are answers, so there is no need to hold anybody up; and a peer that is held up could end the
        // process (docs/decisions/0412). What comes in faster than it is refused counts for MemoryGuard.
        options.receiveHighWaterMark = 0
        let make = maker(context, .router, endpoint, options, curve)
        var socket = try make()
        let bound = try socket.attach(endpoint)
        let door = Door(index: index, router: socket, poller: &poller)
        door.authorizedKeys = curve?.keys(for: endpoint)
        door.recipe = Recipe(make: make, endpoint: Endpoint(bound, endpoint.attachment))
        return (door, [bound])
      case .fleet(let broker, _, _):
        // A direct door inside the process; the fleet's thread is its only producer (FleetBridge).
        options.receiveHighWaterMark = 0
        options.sendHighWaterMark = 0
        var socket = try Socket(context, .router)
        try socket.apply(options)
        try socket.requireRoutes()
        try socket.bind(Self.fleetEndpoint(index))
        return (Door(index: index, router: socket, poller: &poller), [broker.address])
      case .pipeline(let jobs, let replies):
        // What ZeroMQ holds when the worker dies is lost, so it holds no more than a few batches (docs: delivery).
        var inputs = options
        inputs.receiveHighWaterMark = Int32(
          clamping: min(configuration.maximumJobs, 2 * configuration.batchJobs))
        // The collector first: there is no use in jobs whose replies have nowhere to go.
        var output = try Socket(context, .push)
        try output.apply(options)
        // Any collector may get any reply.
        try output.encrypt(for: replies, curve, isForAllTenants: true)
        let outputEndpoint = try output.attach(replies)
        let make = maker(context, .pull, jobs, inputs, curve)
        var input = try make()
        let inputEndpoint = try input.attach(jobs)
        let door = Door(index: index, pull: input, push: output, poller: &poller)
        door.authorizedKeys = curve?.keys(for: jobs)
        door.recipe = Recipe(make: make, endpoint: Endpoint(inputEndpoint, jobs.attachment))
        return (door, [inputEndpoint, outputEndpoint])
      }
    } catch {
      throw WorkerError(.transport, "cannot open door \(index + 1)", cause: error)
    }
  }

  private static func maker(
    _ context: Context, _ kind: SocketKind, _ endpoint: Endpoint, _ options: SocketOptions,
    _ curve: CurveGuard?
  ) -> () throws(ZMQError) -> Socket {
    { () throws(ZMQError) in
      var socket = try Socket(context, kind)
      try socket.apply(options)
      if kind == .router { try socket.requireRoutes() }
      try socket.encrypt(for: endpoint, curve)
      return socket
    }
  }
}

extension Socket {
  /// - Returns: the endpoint, with wildcards resolved.
  mutating func attach(_ endpoint: Endpoint) throws(ZMQError) -> String {
    switch endpoint.attachment {
    case .bind:
      try bind(endpoint.address)
      return try lastEndpoint()
    case .connect:
      try connect(endpoint.address)
      return endpoint.address
    }
  }

  /// Attaches where a socket was that has just been closed.
  mutating func attachAgain(_ endpoint: Endpoint) throws(ZMQError) {
    switch endpoint.attachment {
    case .bind: try bindAgain(endpoint.address)
    case .connect: try connect(endpoint.address)
    }
  }
}
