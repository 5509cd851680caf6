public import CNubABI
import CNubGuest

/// The functions of an image, found by id.
public struct FunctionTable {
  public typealias Function = @convention(c) (_ call: UnsafeMutableRawPointer?) -> UInt32

  private let entries: UnsafeBufferPointer<nub_function_entry>

  /// `entries` is sorted by id; the build sees to that.
  public init(sorted entries: UnsafeBufferPointer<nub_function_entry>) { self.entries = entries }

  public var count: Int { entries.count }

  func find(_ id: UInt32) -> Function? { index(of: id).map { entries[$0].function } ?? nil }

  /// A function's name as it lies in the image; empty where there is none.
  func name(of id: UInt32) -> UnsafeRawBufferPointer {
    guard let index = index(of: id), let name = entries[index].name else {
      return UnsafeRawBufferPointer(start: nil, count: 0)
    }
    return UnsafeRawBufferPointer(start: name, count: strlen(name))
  }

  private func index(of id: UInt32) -> Int? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].id < UInt64(id) { low = middle + 1 } else { high = middle }
    }
    return low < entries.count && entries[low].id == UInt64(id) ? low : nil
  }
}
