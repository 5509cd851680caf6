import ArgumentParser
import NubConfiguration

/// A table of settings as options of a command, so that a setting is written down once.
///
/// ArgumentParser finds a command's options by reflection; this shows it one for each line of the table.
struct SettingFlags<Root: Configurable>: ParsableArguments, CustomReflectable {
  private(set) var values: [String: SettingValue] = [:]

  init() {}

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    for setting in Root.settings {
      let key = Key(setting.key)
      switch setting.shape {
      case .text, .integer:
        let option = try container.decode(Option<String?>.self, forKey: key)
        if let text = option.wrappedValue { values[setting.key] = .text(text) }
      case .list:
        let texts = try container.decode(Option<[String]>.self, forKey: key).wrappedValue
        if !texts.isEmpty { values[setting.key] = .list(texts) }
      case .flag:
        let flag = try container.decode(Flag<Bool?>.self, forKey: key)
        if let isOn = flag.wrappedValue { values[setting.key] = .flag(isOn) }
      }
    }
  }

  var customMirror: Mirror {
    Mirror(self, children: Root.settings.map { (label: $0.key, value: Self.definition($0)) })
  }

  private static func definition(_ setting: Setting<Root>) -> Any {
    let name = NameSpecification.customLong(setting.key)
    let text = setting.defaultDescription.map { "\(setting.help) Default: \($0)." } ?? setting.help
    let help = ArgumentHelp("\(text)", valueName: setting.valueName)
    let completion: CompletionKind =
      switch setting.completion {
      case .none: .default
      case .file: .file()
      case .directory: .directory
      case .words(let words): .list(words)
      }
    switch setting.shape {
    // What begins with a dash is a number, too, and can be refused as one.
    case .integer:
      return Option<String?>(name: name, parsing: .unconditional, help: help, completion: completion)
    case .text: return Option<String?>(name: name, help: help, completion: completion)
    case .list: return Option<[String]>(wrappedValue: [], name: name, help: help, completion: completion)
    case .flag: return Flag<Bool?>(name: name, inversion: .prefixedNo, help: help)
    }
  }

  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ key: String) { stringValue = key }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}
