/// The lines of a table of settings. Each writes one property; its initial value is the default.
extension Setting {
  /// A number in `range`. The property holds `scale` times as much: seconds as milliseconds, for instance.
  ///
  /// - Parameter step: what the number is a multiple of.
  public static func integer<I: FixedWidthInteger & Sendable>(
    _ key: String, _ path: any WritableKeyPath<Root, I> & Sendable, _ range: ClosedRange<Int>,
    scale: Int = 1, step: Int = 1, value: String? = nil, default text: String? = nil, _ help: String
  ) -> Setting {
    Setting(
      key: key, shape: .integer, valueName: value, help: help, completion: .none, defaultText: text,
      read: { .integer(Int(clamping: $0[keyPath: path]) / scale) },
      write: { value, root throws(Complaint) in
        root[keyPath: path] = try number(value, range, scale: scale, step: step)
      })
  }

  /// A number that may be absent.
  public static func integer<I: FixedWidthInteger & Sendable>(
    _ key: String, _ path: any WritableKeyPath<Root, I?> & Sendable, _ range: ClosedRange<Int>,
    scale: Int = 1, value: String? = nil, default text: String? = nil, _ help: String
  ) -> Setting {
    Setting(
      key: key, shape: .integer, valueName: value, help: help, completion: .none, defaultText: text,
      read: { $0[keyPath: path].map { .integer(Int(clamping: $0) / scale) } },
      write: { value, root throws(Complaint) in
        root[keyPath: path] = try number(value, range, scale: scale) as I
      })
  }

  public static func text(
    _ key: String, _ path: any WritableKeyPath<Root, String> & Sendable, value: String? = nil,
    completion: Completion = .none, default text: String? = nil, _ help: String
  ) -> Setting {
    Setting(
      key: key, shape: .text, valueName: value, help: help, completion: completion, defaultText: text,
      read: { .text($0[keyPath: path]) },
      write: { value, root throws(Complaint) in root[keyPath: path] = try nonempty(value) })
  }

  /// A text that may be absent.
  public static func text(
    _ key: String, _ path: any WritableKeyPath<Root, String?> & Sendable, value: String? = nil,
    completion: Completion = .none, default text: String? = nil, _ help: String
  ) -> Setting {
    Setting(
      key: key, shape: .text, valueName: value, help: help, completion: completion, defaultText: text,
      read: { $0[keyPath: path].map { .text($0) } },
      write: { value, root throws(Complaint) in root[keyPath: path] = try nonempty(value) })
  }

  public static func list(
    _ key: String, _ path: any WritableKeyPath<Root, [String]> & Sendable, value: String? = nil,
    _ help: String
  ) -> Setting {
    Setting(
      key: key, shape: .list, valueName: value, help: help, completion: .none, defaultText: nil,
      read: { .list($0[keyPath: path]) },
      write: { value, root throws(Complaint) in
        guard case .list(let texts) = value, !texts.contains("") else {
          throw Complaint(text: "has an empty entry")
        }
        root[keyPath: path] = texts
      })
  }

  public static func flag(
    _ key: String, _ path: any WritableKeyPath<Root, Bool> & Sendable, _ help: String
  ) -> Setting {
    Setting(
      key: key, shape: .flag, valueName: nil, help: help, completion: .none, defaultText: nil,
      read: { .flag($0[keyPath: path]) },
      write: { value, root throws(Complaint) in
        guard case .flag(let isOn) = value else { throw Complaint(text: "is neither true nor false") }
        root[keyPath: path] = isOn
      })
  }

  /// One of a few words.
  public static func choice<E: RawRepresentable & CaseIterable & Sendable>(
    _ key: String, _ path: any WritableKeyPath<Root, E> & Sendable, value: String? = nil, _ help: String
  ) -> Setting where E.RawValue == String {
    let words = E.allCases.map(\.rawValue)
    return Setting(
      key: key, shape: .text, valueName: value, help: help, completion: .words(words), defaultText: nil,
      read: { .text($0[keyPath: path].rawValue) },
      write: { value, root throws(Complaint) in
        guard case .text(let text) = value, let choice = E(rawValue: text) else {
          throw Complaint(text: "is \(value); one of \(words.joined(separator: ", ")) is allowed")
        }
        root[keyPath: path] = choice
      })
  }

  /// A text that stands for something else.
  ///
  /// - Parameters:
  ///   - parse: nil for what cannot be read.
  ///   - expected: what can, for those who are refused: "an age such as 7d".
  public static func parsed<V: Sendable>(
    _ key: String, _ path: any WritableKeyPath<Root, V> & Sendable, value: String, expected: String,
    parse: @escaping @Sendable (String) -> V?, text: @escaping @Sendable (V) -> String, _ help: String
  ) -> Setting {
    Setting(
      key: key, shape: .text, valueName: value, help: help, completion: .none, defaultText: nil,
      read: { .text(text($0[keyPath: path])) },
      write: { value, root throws(Complaint) in
        guard case .text(let given) = value, let parsed = parse(given) else {
          throw Complaint(text: "is \(value); \(expected) is allowed")
        }
        root[keyPath: path] = parsed
      })
  }

  private static func number<I: FixedWidthInteger>(
    _ value: SettingValue, _ range: ClosedRange<Int>, scale: Int, step: Int = 1
  ) throws(Complaint) -> I {
    guard case .integer(let given) = value else { throw Complaint(text: "is not a whole number") }
    let (scaled, overflow) = given.multipliedReportingOverflow(by: scale)
    guard range.contains(given), given.isMultiple(of: step), !overflow, let number = I(exactly: scaled) else {
      let steps = step == 1 ? "" : " in steps of \(step)"
      throw Complaint(text: "is \(given); \(range.lowerBound) to \(range.upperBound)\(steps) is allowed")
    }
    return number
  }

  private static func nonempty(_ value: SettingValue) throws(Complaint) -> String {
    guard case .text(let text) = value, !text.isEmpty else { throw Complaint(text: "is empty") }
    return text
  }
}
