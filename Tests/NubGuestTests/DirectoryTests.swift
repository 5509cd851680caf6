import CNubABI
import NubCap
import Testing

@testable import NubGuest

/// The guest's directory of caps, on the host.
@Suite struct DirectoryTests {
  /// A hash whose home slot is `home`.
  static func hash(_ home: UInt64, _ number: UInt64 = 0) throws -> CapHash {
    var bytes = [UInt8](repeating: 0, count: 32)
    for index in 0..<8 {
      bytes[index] = UInt8(truncatingIfNeeded: home >> UInt64(8 * index))
      bytes[8 + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index))
    }
    return try #require(CapHash(bytes))
  }

  static func insert(_ directory: borrowing Directory, _ hash: CapHash, _ bytes: [UInt8])
    -> Directory.Insertion
  {
    bytes.withUnsafeBytes { directory.insert(hash, wire: $0) }
  }

  @Test func whatWasFiledIsFoundAndWhatWasRemovedIsNot() throws {
    guard let directory = Directory(capacity: 16, byteLimit: 1 << 16) else { return #expect(Bool(false)) }
    let hash = try Self.hash(3)
    #expect(Self.insert(directory, hash, [1, 2, 3]) == .inserted)
    #expect(Self.insert(directory, hash, [1, 2, 3]) == .alreadyPresent)
    #expect(directory.find(hash).map { [UInt8]($0) } == [1, 2, 3])
    let isRemoved = directory.remove(hash)
    #expect(isRemoved)
    #expect(directory.find(hash) == nil)
    #expect(directory.count == 0 && directory.bytes == 0)
  }

  @Test func removingOneOfACollidingRowKeepsTheOthersFindable() throws {
    for victim in 0..<6 {
      guard let directory = Directory(capacity: 16, byteLimit: 1 << 16) else { return #expect(Bool(false)) }
      // Around the end of the table, with two homes mixed.
      let hashes = try (0..<6).map { try Self.hash(UInt64($0 % 2 == 0 ? 14 : 15), UInt64($0)) }
      for hash in hashes { #expect(Self.insert(directory, hash, [1]) == .inserted) }
      let isRemoved = directory.remove(hashes[victim])
      #expect(isRemoved)
      for (index, hash) in hashes.enumerated() { #expect((directory.find(hash) != nil) == (index != victim)) }
    }
  }

  @Test func theLeastRecentlyUsedGoesAndWhatTheCallUsedStays() throws {
    guard let directory = Directory(capacity: 16, byteLimit: 1 << 16) else { return #expect(Bool(false)) }
    for number in 0..<12 as Range<UInt64> {
      directory.beginCall()
      #expect(Self.insert(directory, try Self.hash(number), [1]) == .inserted)
    }
    directory.beginCall()
    #expect(directory.find(try Self.hash(0)) != nil)
    #expect(Self.insert(directory, try Self.hash(100), [1]) == .inserted)
    #expect(directory.find(try Self.hash(0)) != nil)
    #expect(directory.find(try Self.hash(1)) == nil)
  }

  @Test func whatARunningCallUsesIsNeverEvicted() throws {
    guard let directory = Directory(capacity: 16, byteLimit: 1 << 16) else { return #expect(Bool(false)) }
    directory.beginCall()
    for number in 0..<12 as Range<UInt64> {
      #expect(Self.insert(directory, try Self.hash(number), [1]) == .inserted)
    }
    #expect(Self.insert(directory, try Self.hash(50), [1]) == .full)
    for number in 0..<12 as Range<UInt64> { #expect(directory.find(try Self.hash(number)) != nil) }
  }

  @Test func aCapOverTheLimitIsRefused() throws {
    guard let directory = Directory(capacity: 16, byteLimit: 100) else { return #expect(Bool(false)) }
    #expect(Self.insert(directory, try Self.hash(1), [UInt8](repeating: 0, count: 101)) == .full)
    #expect(Self.insert(directory, try Self.hash(1), [UInt8](repeating: 0, count: 100)) == .inserted)
    directory.beginCall()
    #expect(Self.insert(directory, try Self.hash(2), [1]) == .inserted)
    #expect(directory.bytes == 1)
  }

  @Test func randomUseAgreesWithADictionary() throws {
    guard let directory = Directory(capacity: 64, byteLimit: 1 << 20) else { return #expect(Bool(false)) }
    var model: [UInt64: [UInt8]] = [:]
    var random = HeapTests.Random(state: 5)
    for step in 0..<5_000 {
      directory.beginCall()
      let number = UInt64.random(in: 0..<60, using: &random)
      let hash = try Self.hash(number % 8 * 9, number)
      switch Int.random(in: 0..<3, using: &random) {
      case 0 where model.count < 40:
        let bytes = [UInt8](repeating: UInt8(step & 0xff), count: step % 40)
        let isNew = model[number] == nil
        #expect(Self.insert(directory, hash, bytes) == (isNew ? .inserted : .alreadyPresent))
        if isNew { model[number] = bytes }
      case 1:
        let isRemoved = directory.remove(hash)
        #expect(isRemoved == (model.removeValue(forKey: number) != nil))
      default: #expect(directory.find(hash).map { [UInt8]($0) } == model[number])
      }
      #expect(directory.count == model.count)
    }
    #expect(directory.bytes == UInt64(model.values.reduce(0) { $0 + $1.count }))
    #expect(directory.removeAll() == UInt64(model.count))
    #expect(directory.count == 0)
  }
}
