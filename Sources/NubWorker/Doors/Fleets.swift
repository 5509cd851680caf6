internal import NubBroker
internal import NubZMQ

/// The threads behind the fleet doors.
enum Fleets {
  static func start(
    _ configuration: WorkerConfiguration, context: Context, curve: CurveGuard?
  ) throws(WorkerError) -> [FleetBridge] {
    var bridges: [FleetBridge] = []
    for (index, door) in configuration.doors.enumerated() {
      guard case .fleet(let broker, let service, let slots) = door else { continue }
      var options = FleetBridge.Options(
        broker: broker.address, service: service, worker: configuration.name, door: Door.fleetEndpoint(index))
      options.count = slots
      options.slots.frameBytes = configuration.maximumMessageBytes
      options.slots.message.bytes = configuration.maximumMessageBytes
      options.slots.timing.heartbeat = configuration.fleetHeartbeatMilliseconds
      if broker.address.hasPrefix("tcp://") { options.slots.curve = curve?.client }
      do throws(ZMQError) {
        bridges.append(
          try FleetBridge(context: context, options: options, logger: configuration.logger))
      } catch {
        for bridge in bridges { bridge.stop() }
        throw WorkerError(.transport, "cannot open the fleet door to \(broker.address)", cause: error)
      }
    }
    return bridges
  }
}
