import Foundation
import NubABI
import NubMachine

enum Support {
  static let template: Result<SandboxTemplate, MachineError> = {
    do throws(MachineError) {
      return .success(try SandboxTemplate(kvm: try GuestImage.builtIn()))
    } catch {
      return .failure(error)
    }
  }()

  static func sandbox() throws -> Sandbox { try template.get().makeSandbox() }

  /// Bytes that depend on their place, so that a shift shows.
  static func bytes(count: Int, seed: UInt8 = 0) -> [UInt8] {
    // Filled word by word: in a debug build a closure for each byte of 16 MiB takes seconds.
    var bytes = [UInt8](repeating: seed, count: count)
    bytes.withUnsafeMutableBytes { raw in
      let words = raw.bindMemory(to: UInt64.self)
      var value = UInt64(seed) &+ 1
      for index in 0..<(count / 8) {
        value = value &* 0x9e37_79b9_7f4a_7c15 &+ 1
        words[index] = value
      }
    }
    return bytes
  }

  /// `==` of arrays compares element by element in a debug build.
  static func isSame(_ left: [UInt8]?, _ right: [UInt8]) -> Bool {
    guard let left, left.count == right.count else { return false }
    return left.withUnsafeBytes { l in
      right.withUnsafeBytes { r in
        guard let l = l.baseAddress, let r = r.baseAddress else { return true }
        return memcmp(l, r, right.count) == 0
      }
    }
  }

  static func bytes<Number: FixedWidthInteger>(of number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { [UInt8]($0) }
  }

  static func u64(_ bytes: [UInt8]) -> [UInt64] {
    bytes.withUnsafeBytes { raw in
      stride(from: 0, to: raw.count, by: 8).map { raw.loadUnaligned(fromByteOffset: $0, as: UInt64.self) }
    }
  }

  static func code(_ body: () throws -> Void) -> MachineError.Code? {
    do {
      try body()
      return nil
    } catch let error as MachineError {
      return error.code
    } catch {
      return nil
    }
  }

  static func batch(_ sandbox: inout Sandbox, _ calls: [(UInt32, [UInt8], Duration?)]) -> [CallOutcome] {
    let storage = calls.map { call in
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: call.1.count, alignment: 16)
      buffer.copyBytes(from: call.1)
      return buffer
    }
    defer { for buffer in storage { buffer.deallocate() } }
    let batch = zip(calls, storage).map { call, payload in
      GuestCall(function: call.0, payload: UnsafeRawBufferPointer(payload), deadline: call.2)
    }
    var results: [CallOutcome] = []
    batch.withUnsafeBufferPointer { calls in
      sandbox.runBatch(calls) { index, outcome, _ in
        precondition(index == results.count)
        results.append(outcome)
      }
    }
    return results
  }
}

extension CallOutcome {
  var bytes: [UInt8]? {
    if case .returned(let bytes) = self { return bytes }
    return nil
  }
}
