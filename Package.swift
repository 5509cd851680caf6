// swift-tools-version: 6.2
import PackageDescription

// The targets' dependencies are the architecture diagram of docs: no arrow runs back up.
let package = Package(
  name: "nub",
  products: [
    .executable(name: "nub", targets: ["nub"]),
    .library(name: "NubMachine", targets: ["NubMachine"]),
    .library(name: "NubGuestTools", targets: ["NubGuestTools"]),
    .library(name: "NubStore", targets: ["NubStore"]),
    .library(name: "NubStoreTesting", targets: ["NubStoreTesting"]),
    .library(name: "NubWorker", targets: ["NubWorker"]),
    .library(name: "NubLifecycle", targets: ["NubLifecycle"]),
    .library(name: "NubClient", targets: ["NubClient"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    // No files: the one that nub has is read more strictly.
    .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    // The HTTP/1.1 server alone.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    // Shared by host and guest: no Foundation, and the same sources on both sides.
    .target(name: "CNubCPU"),
    .target(name: "NubCap", dependencies: ["CNubCPU"]),
    // The little JSON that is read and written without Foundation.
    .target(name: "NubJSON"),
    // Descriptions of caps for people; on the host alone.
    .target(name: "NubCapJSON", dependencies: ["NubCap", "NubJSON"]),
    .target(name: "CNubABI"),
    .target(name: "CNubGuest", dependencies: ["CNubABI"]),
    .target(name: "NubABI"),
    .target(
      name: "NubGuest", dependencies: ["NubABI", "NubCap", "CNubABI", "CNubGuest"], exclude: ["Image"]
    ),

    // The guest image: built for bare metal by a plugin, from the sources above.
    .target(name: "NubELF"),
    .target(name: "NubGuestBuild", dependencies: ["NubELF"]),
    .executableTarget(name: "GuestImageTool", dependencies: ["NubELF", "NubGuestBuild"]),
    .plugin(name: "GuestImage", capability: .buildTool(), dependencies: ["GuestImageTool"]),

    .target(name: "CKVM"),
    .target(
      name: "NubMachine",
      dependencies: [
        "CKVM", "CNubABI", "CNubGuest", "NubABI", "NubCap", "NubELF", "NubGuest",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ],
      plugins: ["GuestImage"]
    ),

    // Building and looking at authors' images; carries the kit's sources.
    .target(
      name: "NubGuestTools", dependencies: ["NubCap", "NubGuestBuild", "NubELF", "NubMachine"],
      plugins: ["GuestImage"]
    ),

    .target(name: "CNubSQLite"),
    // The least that C does for the same work, for `nub bench`.
    .target(name: "CNubBench", dependencies: ["CNubABI"], path: "ops/bench/c/machine"),

    .target(
      name: "NubStore",
      dependencies: [
        "CNubSQLite", "NubCap",
        .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "GRDBSQLite", package: "GRDB.swift"),
      ]
    ),

    // No pkg-config: Debian's libzmq.pc names flags that SwiftPM refuses, with a warning at each build.
    .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
    // The system calls of the relay in front of pipelines.
    .target(name: "CNubRelay"),
    .target(name: "NubZMQ", dependencies: ["CZeroMQ"]),
    .target(
      name: "NubWorker",
      dependencies: [
        "CNubRelay", "CZeroMQ", "NubABI", "NubMachine", "NubStore", "NubCap", "NubBroker", "NubJSON",
        "NubSecurity",
        "NubZMQ",
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ]
    ),
    .target(name: "NubClient", dependencies: ["NubZMQ", "NubCap", "NubJSON"]),
    // Keys, who may come in, and which endpoints may go without encryption.
    .target(
      name: "NubSecurity",
      dependencies: ["CZeroMQ", "NubZMQ", .product(name: "Logging", package: "swift-log")]
    ),
    // Majordomo (RFC 7): the broker, and the worker's side of it.
    .target(
      name: "NubBroker",
      dependencies: [
        "NubJSON", "NubSecurity", "NubZMQ",
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "Logging", package: "swift-log"),
      ]
    ),

    // What a process gives up, and what it tells the service manager that started it.
    .target(name: "CNubProcess"),
    .target(
      name: "NubProcess", dependencies: ["CNubProcess", .product(name: "Logging", package: "swift-log")]),

    // Settings from flags, the environment and a file.
    .target(
      name: "NubConfiguration",
      dependencies: ["NubJSON", .product(name: "Configuration", package: "swift-configuration")]),
    // Metrics for Prometheus, probes, and a page for operators.
    .target(
      name: "NubHTTP",
      dependencies: [
        "NubBroker", "NubCap", "NubSecurity", "NubStore", "NubWorker", "NubZMQ",
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
      ]
    ),

    // Worker and broker as services of swift-service-lifecycle, signals, and `nub worker ctl`.
    .target(
      name: "NubLifecycle",
      dependencies: [
        "NubHTTP", "NubMachine", "NubProcess", "NubSecurity", "NubWorker", "NubZMQ",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ]
    ),

    // The figures of `nub bench`, and the processes that drive a worker for them.
    .target(
      name: "NubBench", dependencies: ["CNubBench", "CZeroMQ", "NubMachine", "NubStore", "NubCap", "NubABI"]),

    .executableTarget(
      name: "nub",
      dependencies: [
        "NubBench", "NubBroker", "NubSecurity", "NubZMQ", "NubWorker", "NubClient", "NubStore", "NubMachine",
        "NubConfiguration", "NubHTTP", "NubLifecycle", "NubProcess",
        "NubGuestBuild", "NubGuestTools", "NubABI", "NubCap", "NubCapJSON", "CZeroMQ",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]
    ),

    .testTarget(name: "NubCapTests", dependencies: ["NubCap", "NubCapJSON"]),
    .testTarget(name: "NubCapJSONTests", dependencies: ["NubCap", "NubCapJSON"]),
    .target(name: "NubStoreSamples", dependencies: ["NubStore", "NubCap"], path: "Tests/NubStoreSamples"),
    // What every implementation of `Store` has to pass; for the packages of others, too.
    .target(name: "NubStoreTesting", dependencies: ["NubStore", "NubStoreSamples", "NubCap"]),
    // A process to be killed in the middle of a commit.
    .executableTarget(
      name: "NubStoreCrasher", dependencies: ["NubStore", "NubStoreSamples", "NubCap"],
      path: "Tests/NubStoreCrasher"),
    .testTarget(
      name: "NubStoreTests",
      dependencies: [
        "NubStore", "NubStoreSamples", "NubStoreTesting", "NubStoreCrasher", "NubCap",
        .product(name: "GRDBSQLite", package: "GRDB.swift"),
      ]),
    .testTarget(
      name: "NubWorkerTests",
      dependencies: [
        "NubWorker", "NubJSON", "NubMachine", "NubStore", "NubCap", "NubZMQ",
        .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ]),
    .testTarget(
      name: "NubSecurityTests",
      dependencies: ["NubSecurity", "NubZMQ", .product(name: "Logging", package: "swift-log")]
    ),
    .testTarget(
      name: "NubProcessTests",
      dependencies: ["NubProcess", "CNubProcess", .product(name: "Logging", package: "swift-log")]),
    .testTarget(name: "NubConfigurationTests", dependencies: ["NubConfiguration"]),
    .testTarget(name: "NubBrokerTests", dependencies: ["NubBroker", "NubJSON", "NubSecurity", "NubZMQ"]),
    .testTarget(name: "NubClientTests", dependencies: ["NubClient", "NubZMQ", "NubCap"]),
    .testTarget(
      name: "NubMachineTests",
      dependencies: [
        "NubMachine", "NubABI", "NubCap", "NubELF", "NubGuestBuild", "CNubABI", "CKVM",
        .product(name: "MetricsTestKit", package: "swift-metrics"),
        .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ],
      exclude: ["Guests"]
    ),
    .testTarget(name: "NubBenchTests", dependencies: ["NubBench"]),
    .testTarget(name: "NubGuestTests", dependencies: ["NubGuest", "NubABI", "NubCap", "CNubABI"]),
    .testTarget(
      name: "NubGuestBuildTests",
      dependencies: [
        "NubGuestTools", "NubGuestBuild", "NubMachine", "NubELF", "NubABI", "NubCap",
        .product(name: "Logging", package: "swift-log"),
      ]),
    .testTarget(
      name: "NubHTTPTests",
      dependencies: [
        "NubHTTP", "NubStore", "NubWorker",
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
      ]),
    .testTarget(
      name: "NubLifecycleTests",
      dependencies: [
        "NubHTTP", "NubLifecycle", "NubWorker",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    .testTarget(name: "NubELFTests", dependencies: ["NubELF"]),
    .testTarget(name: "NubCommandTests", dependencies: ["nub", "NubStore"]),
  ],
  swiftLanguageModes: [.v6]
)

// One place for what holds everywhere: the settings of swift-configuration's own manifest were the model.
for target in package.targets where target.type != .system && target.type != .plugin {
  var settings = target.swiftSettings ?? []
  settings.append(.enableUpcomingFeature("ExistentialAny"))
  settings.append(.enableUpcomingFeature("InternalImportsByDefault"))
  settings.append(.enableUpcomingFeature("MemberImportVisibility"))
  if ["NubCap", "NubABI", "NubMachine"].contains(target.name) {
    settings.append(.strictMemorySafety())
  }
  if target.name == "NubCap" {
    // Views that cannot outlive the bytes they look at.
    settings.append(.enableExperimentalFeature("Lifetimes"))
  }
  target.swiftSettings = settings
}
