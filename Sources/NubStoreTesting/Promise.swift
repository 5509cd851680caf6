public import Testing

/// One thing that every implementation of `Store` promises, and the test of it.
///
/// Another implementation proves itself with the same list, from a package of its own:
///
/// ```swift
/// @Suite struct PostgreSQLConformance {
///   @Test(arguments: Promise.all) func keepsThePromise(_ promise: Promise) throws {
///     try promise.check(PostgreSQLProvider())
///   }
/// }
/// ```
public struct Promise: Sendable, CustomTestStringConvertible {
  public var testDescription: String
  /// Records an issue, or throws, if the promise is broken. Asks for as many fresh stores as it needs.
  public var check: @Sendable (any StoreProvider) throws -> Void

  init(_ description: String, _ check: @escaping @Sendable (any StoreProvider) throws -> Void) {
    testDescription = description
    self.check = check
  }

  public static let all = jobs + journal + caps + work + administration
}
