import Foundation
import NubConfiguration
import Testing

/// A small table with a setting of every kind.
private struct Sample: Configurable {
  enum Color: String, CaseIterable, Sendable { case red, green }

  var lanes = 2
  var wait: UInt64 = 3_000
  var limit: Int64?
  var path: String?
  var doors: [String] = []
  var isLoud = false
  var color = Color.red

  static let settings: [Setting<Sample>] = [
    .integer("lanes", \.lanes, 1...64, "Threads."),
    .integer("wait-time", \.wait, 0...60, scale: 1_000, "Seconds."),
    .integer("limit", \.limit, 1...1 << 40, "Bytes."),
    .text("path", \.path, "A file."),
    .list("doors", \.doors, "Where."),
    .flag("loud", \.isLoud, "Noise."),
    .choice("color", \.color, "Paint."),
  ]
}

struct ConfiguratorTests {
  private func configure(
    flags: [String: SettingValue] = [:], environment: [String: String] = [:], file: String? = nil
  ) throws(SettingError) -> Configured<Sample> {
    let path = FileManager.default.temporaryDirectory.appending(path: "nub-config-\(UUID()).json").path
    if let file {
      #expect(FileManager.default.createFile(atPath: path, contents: Data(file.utf8)))
    }
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try Configurator<Sample>(flags: flags, environment: environment, filePath: file.map { _ in path })
      .configure()
  }

  private func refusal(
    flags: [String: SettingValue] = [:], environment: [String: String] = [:], file: String? = nil
  ) -> SettingError? {
    do throws(SettingError) {
      _ = try configure(flags: flags, environment: environment, file: file)
      return nil
    } catch {
      return error
    }
  }

  private func source(_ configured: Configured<Sample>, _ key: String) -> String? {
    configured.entries.first { $0.key == key }.map { "\($0.source)" }
  }

  @Test func `a flag wins over the environment, the environment over the file, the file over the default`()
    throws
  {
    let file = #"{"lanes": 5}"#
    let environment = ["NUB_LANES": "4"]
    let all = try configure(flags: ["lanes": .text("3")], environment: environment, file: file)
    #expect(all.root.lanes == 3)
    #expect(source(all, "lanes") == "flag --lanes")
    let two = try configure(environment: environment, file: file)
    #expect(two.root.lanes == 4)
    #expect(source(two, "lanes") == "environment NUB_LANES")
    let one = try configure(file: file)
    #expect(one.root.lanes == 5)
    #expect(try #require(source(one, "lanes")).hasPrefix("file "))
    let none = try configure()
    #expect(none.root.lanes == 2)
    #expect(source(none, "lanes") == "default")
  }

  @Test func `every kind of value can come from every place`() throws {
    let flags: [String: SettingValue] = [
      "lanes": .text("7"), "wait-time": .text("9"), "limit": .text("11"), "path": .text("/a"),
      "doors": .list(["x", "y"]), "loud": .flag(true), "color": .text("green"),
    ]
    let environment = [
      "NUB_LANES": "7", "NUB_WAIT_TIME": "9", "NUB_LIMIT": "11", "NUB_PATH": "/a", "NUB_DOORS": "x,y",
      "NUB_LOUD": "true", "NUB_COLOR": "green",
    ]
    let file = """
      {"lanes": 7, "wait-time": 9, "limit": 11, "path": "/a", "doors": ["x", "y"], "loud": true, "color": "green"}
      """
    for configured in [
      try configure(flags: flags), try configure(environment: environment), try configure(file: file),
    ] {
      let root = configured.root
      #expect(root.lanes == 7 && root.wait == 9_000 && root.limit == 11 && root.path == "/a")
      #expect(root.doors == ["x", "y"] && root.isLoud && root.color == .green)
      #expect(configured.entries.first { $0.key == "wait-time" }?.value == .integer(9))
      #expect(!configured.entries.contains { $0.source == .default })
    }
  }

  @Test func `a flag can take back what the environment sets`() throws {
    let configured = try configure(flags: ["loud": .flag(false)], environment: ["NUB_LOUD": "1"])
    #expect(!configured.root.isLoud)
  }

  @Test func `an empty variable counts as absent, and one text in the file is a list of one`() throws {
    #expect(try configure(environment: ["NUB_LANES": ""]).root.lanes == 2)
    #expect(try configure(file: #"{"doors": "x"}"#).root.doors == ["x"])
  }

  @Test(arguments: [
    ("0", "lanes is 0; 1 to 64 is allowed (environment NUB_LANES)"),
    ("65", "lanes is 65; 1 to 64 is allowed (environment NUB_LANES)"),
    ("-1", "lanes is -1; 1 to 64 is allowed (environment NUB_LANES)"),
    ("many", "lanes is not a whole number (environment NUB_LANES)"),
    ("99999999999999999999", "lanes is not a whole number (environment NUB_LANES)"),
  ])
  func `a number out of range is refused by name, with the range`(text: String, message: String) {
    #expect(refusal(environment: ["NUB_LANES": text])?.message == message)
  }

  @Test func `a wrong value is refused even where something else follows, and never the default`() {
    #expect(refusal(environment: ["NUB_LANES": "x"], file: #"{"lanes": 5}"#)?.code == .badValue)
    #expect(
      refusal(flags: ["lanes": .text("x")])?.message == #"lanes is "x", not a whole number (flag --lanes)"#)
    #expect(refusal(file: #"{"lanes": "5"}"#)?.code == .badValue)
    #expect(refusal(file: #"{"lanes": 5.5}"#)?.code == .badValue)
    #expect(refusal(file: #"{"path": 5}"#)?.code == .badValue)
    #expect(refusal(file: #"{"loud": "yes"}"#)?.code == .badValue)
    #expect(refusal(environment: ["NUB_LOUD": "perhaps"])?.code == .badValue)
    #expect(
      refusal(environment: ["NUB_COLOR": "blue"])?.message
        == "color is blue; one of red, green is allowed (environment NUB_COLOR)")
    #expect(refusal(environment: ["NUB_DOORS": "x,,y"])?.code == .badValue)
  }

  @Test(arguments: [
    (#"{"lanes": true}"#, "lanes is true, not a whole number"),
    (#"{"lanes": "5"}"#, #"lanes is "5", not a whole number"#),
    (#"{"lanes": 5.0}"#, "lanes is 5.0, not a whole number"),
    (#"{"lanes": 5e0}"#, "lanes is 5e0, not a whole number"),
    (#"{"lanes": null}"#, "lanes is null, not a whole number"),
    (#"{"lanes": [5]}"#, "lanes is [5], not a whole number"),
    (#"{"lanes": 99999999999999999999}"#, "lanes is 99999999999999999999, not a whole number"),
    (#"{"limit": false}"#, "limit is false, not a whole number"),
    (#"{"loud": 1}"#, "loud is 1, not true or false"),
    (#"{"loud": 0.5}"#, "loud is 0.5, not true or false"),
    (#"{"loud": "true"}"#, #"loud is "true", not true or false"#),
    (#"{"loud": null}"#, "loud is null, not true or false"),
    (#"{"path": true}"#, "path is true, not a text"), (#"{"path": null}"#, "path is null, not a text"),
    (#"{"path": {"a": 1}}"#, #"path is {"a": 1}, not a text"#),
    (#"{"doors": ["x", 1]}"#, #"doors is ["x", 1], not a list of texts"#),
    (#"{"doors": null}"#, "doors is null, not a list of texts"),
    (#"{"color": 0}"#, "color is 0, not a text"),
  ])
  func `nothing in the file is taken for what it is not`(file: String, message: String) throws {
    let error = try #require(refusal(file: file))
    #expect(error.code == .badValue && error.message.hasPrefix("\(message) (file /"), "\(error)")
  }

  @Test(arguments: [
    (#"{"lanes": 1, "lanes": 2}"#, #"line 1: "lanes" occurs twice"#),
    (#"{"lanes": 1, "l\u0061nes": 2}"#, #"line 1: "lanes" occurs twice"#),
    ("{\"path\": \"a\",\n \"doors\": [\"a\",\n],\n}", "line 3: not a JSON object: a value was expected"),
    ("{\n\"lanes\": 1,\n}", "line 3: not a JSON object: a key was expected"),
    ("{} {}", "line 1: not a JSON object: text after the object"),
    ("", "line 1: not a JSON object: an object was expected"),
    ("[1]", "line 1: not a JSON object: an object was expected"),
    (#"{"lanes" 1}"#, "line 1: not a JSON object: a colon was expected"),
    (#"{"lanes": 1 "limit": 2}"#, "line 1: not a JSON object: a comma or } was expected"),
    (#"{"lanes": 01}"#, "line 1: not a JSON object: a number starts with 0"),
    (#"{"lanes": +1}"#, "line 1: not a JSON object: a value was expected"),
    (#"{"lanes": 1.}"#, "line 1: not a JSON object: a digit was expected"),
    (#"{"lanes": 0x1}"#, "line 1: not a JSON object: a comma or } was expected"),
    (#"{"lanes": NaN}"#, "line 1: not a JSON object: a value was expected"),
    ("{'lanes': 1}", "line 1: not a JSON object: a key was expected"),
    ("{lanes: 1}", "line 1: not a JSON object: a key was expected"),
    ("{// no\n\"lanes\": 1}", "line 1: not a JSON object: a key was expected"),
    (#"{"path": "\ud83d"}"#, "line 1: not a JSON object: half a surrogate pair"),
    (#"{"path": "\ude00"}"#, "line 1: not a JSON object: half a surrogate pair"),
    (#"{"path": "\q"}"#, "line 1: not a JSON object: an unknown escape"),
    (#"{"path": "\u+123"}"#, "line 1: not a JSON object: a hex digit was expected"),
    ("{\"path\": \"a\nb\"}", "a control character in a string"),
    ("{\"path\": \"a", "line 1: not a JSON object: a string without end"),
    (
      "{\"path\": \(String(repeating: "[", count: 40))\(String(repeating: "]", count: 40))}",
      "line 1: not a JSON object: nested deeper than 32"
    ),
    ("\u{FEFF}{}", "an object was expected"),
  ])
  func `a file that is not JSON by its letter is refused, with the line`(file: String, message: String) throws
  {
    let error = try #require(refusal(file: file))
    #expect(error.code == .unreadableFile && error.message.contains(message), "\(error)")
  }

  @Test func `what JSON allows is understood`() throws {
    let path = #""\"\\\/\b\f\n\r\t\u00e9\ud83d\uDE00é😀""#
    let file = " \t\r\n{ \"path\" : \(path) ,\n\"doors\":[ ],\"lanes\":64,\"loud\":false}\n"
    let root = try configure(file: file).root
    #expect(root.path == "\"\\/\u{8}\u{C}\n\r\té😀é😀")
    #expect(root.doors.isEmpty && root.lanes == 64 && !root.isLoud)
    #expect(try configure(file: "{}").root.lanes == 2)
  }

  @Test func `an unknown key in the file is refused with the nearest known one`() throws {
    let error = try #require(refusal(file: #"{"lane": 5}"#))
    #expect(error.code == .unknownName)
    #expect(error.message.hasPrefix(#""lane" in the file "#))
    #expect(error.message.hasSuffix("is unknown; did you mean lanes?"))
    #expect(refusal(file: #"{"qqqqqqq": 5}"#)?.message.contains("did you mean") == false)
  }

  @Test func `a file that is none, or not an object, is refused`() {
    #expect(refusal(file: "[1]")?.code == .unreadableFile)
    #expect(refusal(file: "{")?.code == .unreadableFile)
    for path in ["/nonexistent.json", "/dev/zero", "/tmp"] {
      #expect(throws: SettingError.self) {
        try Configurator<Sample>(flags: [:], environment: [:], filePath: path).configure()
      }
    }
  }

  @Test func `unknown variables are refused by name, those of tools and of Kubernetes are not`() throws {
    let names = EnvironmentNames(settings: Sample.settings.map(\.environment), tools: ["NUB_BIN"])
    try names.check([
      "NUB_LANES": "1", "NUB_BIN": "x", "PATH": "y", "NUBBIN": "z",
      "NUB_SERVICE_HOST": "10.0.0.1", "NUB_SERVICE_PORT": "7700", "NUB_SERVICE_PORT_JOBS": "7700",
      "NUB_PORT": "tcp://10.0.0.1:7700", "NUB_PORT_7700_TCP": "tcp://10.0.0.1:7700",
      "NUB_WORKER_PORT_7700_TCP_ADDR": "10.0.0.1", "NUB_WORKER_SERVICE_HOST": "10.0.0.1",
    ])
    do throws(SettingError) {
      try names.check(["NUB_LANSE": "1"])
      Issue.record("accepted")
    } catch {
      #expect(error.message == "the environment variable NUB_LANSE is unknown; did you mean NUB_LANES?")
    }
  }
}
