internal import Configuration

/// Fills a ``Configurable`` from flags, the environment and a file, in that order.
///
/// Reading values out of each place is swift-configuration's work, but for the file, which it reads through Foundation (see decision
/// 0850). What this adds: names that nobody knows are refused, a value that is there and wrong is an error and never the default, and
/// each value says where it came from.
public struct Configurator<Root: Configurable>: Sendable {
  private let flags: [String: SettingValue]
  private let environment: [String: String]
  private let filePath: String?

  /// - Parameters:
  ///   - flags: by key; texts for integers, too, as they were typed.
  ///   - environment: all of it. An empty variable counts as absent.
  ///   - filePath: a JSON file, or nil for none.
  public init(flags: [String: SettingValue], environment: [String: String], filePath: String?) {
    self.flags = flags
    self.environment = environment.filter { !$0.value.isEmpty }
    self.filePath = filePath
  }

  /// - Throws: ``SettingError``, whose message names the setting and where its value came from.
  public func configure() throws(SettingError) -> Configured<Root> {
    let places = try places()
    var root = Root()
    var entries: [(key: String, source: SettingSource)] = []
    for setting in Root.settings {
      var source = SettingSource.default
      for place in places {
        guard let value = try place.value(of: setting) else { continue }
        source = place.source(setting)
        do throws(Complaint) {
          try setting.write(value, &root)
        } catch {
          throw SettingError(.badValue, "\(setting.key) \(error.text) (\(source))")
        }
        break
      }
      entries.append((setting.key, source))
    }
    return Configured(
      root: root,
      entries: zip(Root.settings, entries).map { setting, entry in
        Configured<Root>.Entry(key: entry.key, value: setting.read(root), source: entry.source)
      })
  }

  private func places() throws(SettingError) -> [Place<Root>] {
    var values: [AbsoluteConfigKey: ConfigValue] = [:]
    for setting in Root.settings {
      guard let value = flags[setting.key] else { continue }
      values[AbsoluteConfigKey([setting.key])] = ConfigValue(
        try content(value, for: setting), isSecret: false)
    }
    var places = [
      Place<Root>(
        snapshot: InMemoryProvider(name: "flags", values: values).snapshot(), key: { [$0.key] },
        source: { .flag($0.flag) }),
      // The key's first component is what makes NUB_ of it.
      Place<Root>(
        snapshot: EnvironmentVariablesProvider(environmentVariables: environment).snapshot(),
        key: { ["nub", $0.key] }, source: { .environment($0.environment) }),
    ]
    if let filePath {
      let file = try ConfigurationFile(path: filePath)
      let known = Root.settings.map(\.key)
      for (key, _) in file.members where !known.contains(key) {
        throw SettingError(
          .unknownName,
          "\"\(key)\" in the file \(filePath) is unknown\(Suggestion.text(for: key, among: known))")
      }
      var values: [AbsoluteConfigKey: ConfigValue] = [:]
      for setting in Root.settings {
        guard let value = file.members.first(where: { $0.key == setting.key })?.value else { continue }
        guard let content = Self.content(value, for: setting.shape) else {
          throw SettingError(
            .badValue,
            "\(setting.key) is \(value), not \(setting.shape.noun) "
              + "(\(SettingSource.file(filePath, key: setting.key)))"
          )
        }
        values[AbsoluteConfigKey([setting.key])] = ConfigValue(content, isSecret: false)
      }
      places.append(
        Place<Root>(
          snapshot: InMemoryProvider(name: "file", values: values).snapshot(), key: { [$0.key] },
          source: { .file(filePath, key: $0.key) }))
    }
    return places
  }

  private func content(_ value: SettingValue, for setting: Setting<Root>) throws(SettingError)
    -> ConfigContent
  {
    switch (setting.shape, value) {
    case (.integer, .text(let text)):
      guard let number = Int(text) else {
        throw SettingError(
          .badValue, "\(setting.key) is \"\(text)\", not a whole number (flag \(setting.flag))")
      }
      return .int(number)
    case (_, .text(let text)): return .string(text)
    case (_, .integer(let number)): return .int(number)
    case (_, .flag(let isOn)): return .bool(isOn)
    case (_, .list(let texts)): return .stringArray(texts)
    }
  }
}

extension Configurator {
  /// A file says of each value what it is, so nothing else is made of it: no 1 out of true, no number out of a text.
  private static func content(_ value: WrittenValue, for shape: Setting<Root>.Shape) -> ConfigContent? {
    switch shape {
    case .text: value.text.map { .string($0) }
    case .integer: value.integer.map { .int($0) }
    case .flag: value.flag.map { .bool($0) }
    case .list: value.texts.map { .stringArray($0) }
    }
  }
}

extension Setting.Shape {
  /// What is expected, for those who gave something else.
  fileprivate var noun: String {
    switch self {
    case .text: "a text"
    case .integer: "a whole number"
    case .flag: "true or false"
    case .list: "a list of texts"
    }
  }
}

/// One of the places where values are looked for.
private struct Place<Root: Configurable> {
  let snapshot: any ConfigSnapshot
  let key: (Setting<Root>) -> [String]
  let source: (Setting<Root>) -> SettingSource

  func value(of setting: Setting<Root>) throws(SettingError) -> SettingValue? {
    let key = AbsoluteConfigKey(key(setting))
    do {
      switch setting.shape {
      case .text:
        if case .string(let text)? = try content(key, .string) { return .text(text) }
      case .integer:
        if case .int(let number)? = try content(key, .int) { return .integer(number) }
      case .flag:
        if case .bool(let isOn)? = try content(key, .bool) { return .flag(isOn) }
      case .list:
        if case .stringArray(let texts)? = try list(key) { return .list(texts) }
      }
      return nil
    } catch {
      throw SettingError(.badValue, "\(setting.key) is not \(setting.shape.noun) (\(source(setting)))")
    }
  }

  /// A single text is a list of one.
  private func list(_ key: AbsoluteConfigKey) throws -> ConfigContent? {
    if let content = try? content(key, .stringArray) { return content }
    guard case .string(let text)? = try content(key, .string) else { return nil }
    return .stringArray([text])
  }

  private func content(_ key: AbsoluteConfigKey, _ type: ConfigType) throws -> ConfigContent? {
    try snapshot.value(forKey: key, type: type).value?.content
  }
}
