/// Who a worker is, for the people who read the store.
public struct WorkerIdentity: Sendable {
  public var name: String
  public var host: String
  public var pid: Int32
  public var version: String

  public init(name: String, host: String, pid: Int32, version: String) {
    self.name = name
    self.host = host
    self.pid = pid
    self.version = version
  }
}

/// The guest image that results name as what computed them.
public struct ImageRecord: Sendable {
  /// SHA-256 of the image file.
  public var digest: [UInt8]
  public var name: String
  /// The functions' ids and names, for the views.
  public var functions: [(id: UInt32, name: String)]

  public init(digest: [UInt8], name: String, functions: [(id: UInt32, name: String)]) {
    self.digest = digest
    self.name = name
    self.functions = functions
  }
}

/// When a reply may leave.
public enum Durability: Sendable {
  /// When the disk has the result: nothing acknowledged is lost in a power cut.
  case full
  /// When the operating system has it: a killed worker loses nothing, a power cut the last moments.
  case normal
}

/// How long things are kept, in milliseconds; nil keeps them forever.
public struct RetentionPolicy: Sendable {
  /// Results with status 0.
  public var results: Int64? = 7 * day
  /// Results with any other status.
  public var failures: Int64? = 30 * day
  /// The requests that are kept with failed jobs, so that they can be run again; the results stay.
  public var requests: Int64? = 7 * day
  /// Caps that nothing refers to, since their last use.
  public var caps: Int64? = 30 * day
  /// Cancels that nobody claimed.
  public var cancels: Int64? = 10 * 60 * 1_000
  /// Rows of a table that one slice removes at most.
  public var sliceRows = 256
  /// After this long a slice ends, however few rows that was: whoever wants to commit waits for its end. Rows are removed whole, so
  /// one that is very large takes as long as it takes.
  public var sliceTime = Duration.milliseconds(2)

  public static let day: Int64 = 24 * 60 * 60 * 1_000

  public init() {}
}

/// How a store is opened.
public struct StoreOptions: Sendable {
  public var durability = Durability.full
  /// How long to wait for another program's lock before giving up.
  public var busyTimeoutMilliseconds: Int32 = 10_000
  /// The size of database and log in bytes from which new work is refused; nil for none.
  public var maximumBytes: Int64?
  /// The size of the log in bytes from which a commit is followed by a checkpoint, even if there is other work.
  public var checkpointBytes: Int64 = 16 << 20
  /// Memory for pages per connection.
  public var cacheBytes: Int64 = 32 << 20

  public init() {}
}
