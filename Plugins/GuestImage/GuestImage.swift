import Foundation
import PackagePlugin

/// Builds the guest image with the toolchain's own compilers and puts it into the target as a source file.
@main
struct GuestImage: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
    let sources = context.package.directoryURL.appending(path: "Sources")
    let output = context.pluginWorkDirectoryURL.appending(path: "BuiltInGuestImage.swift")
    let folders = ["CNubABI", "CNubCPU", "CNubGuest", "NubABI", "NubCap", "NubGuest"]
    var inputs: [URL] = []
    for folder in folders {
      let files = FileManager.default.enumerator(
        at: sources.appending(path: folder), includingPropertiesForKeys: nil)
      for case let file as URL in files ?? FileManager.DirectoryEnumerator()
      where ["swift", "c", "h", "ld", "modulemap"].contains(file.pathExtension) {
        inputs.append(file)
      }
    }
    return [
      .buildCommand(
        displayName: "Building the guest image",
        executable: try context.tool(named: "GuestImageTool").url,
        arguments: [
          try context.tool(named: "swiftc").url.path, try context.tool(named: "clang").url.path,
          try context.tool(named: "ld.lld").url.path, sources.path,
          context.pluginWorkDirectoryURL.appending(path: "guest").path, output.path,
        ],
        inputFiles: inputs.sorted { $0.path < $1.path },
        outputFiles: [output])
    ]
  }
}
