import Foundation
import PackagePlugin

/// Puts the guest into a target as a source file: into NubGuestTools the sources that authors' images are built from,
/// into any other target nub's own image, built with the toolchain's own compilers.
@main
struct GuestImage: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
    let sources = context.package.directoryURL.appending(path: "Sources")
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
    inputs.sort { $0.path < $1.path }
    let tool = try context.tool(named: "GuestImageTool").url
    if target.name == "NubGuestTools" {
      let output = context.pluginWorkDirectoryURL.appending(path: "GuestKitArchive.swift")
      return [
        .buildCommand(
          displayName: "Packing the guest kit", executable: tool,
          arguments: ["kit", sources.path, output.path],
          inputFiles: inputs, outputFiles: [output])
      ]
    }
    let output = context.pluginWorkDirectoryURL.appending(path: "BuiltInGuestImage.swift")
    return [
      .buildCommand(
        displayName: "Building the guest image", executable: tool,
        arguments: [
          "image", try context.tool(named: "swiftc").url.path, try context.tool(named: "clang").url.path,
          try context.tool(named: "ld.lld").url.path, sources.path,
          context.pluginWorkDirectoryURL.appending(path: "guest").path, output.path,
        ],
        inputFiles: inputs, outputFiles: [output])
    ]
  }
}
