/// What the host reads of the log area. Records lie inside the area, and their text steers no terminal and begins no line.
public func fuzzLog(_ input: UnsafeRawBufferPointer) {
  withArea(input, alignment: 8) { area in
    var reader = GuestLogReader(area)
    var end = 0
    while let record = reader.next(in: area) {
      require(record.source.lowerBound >= end + 16 && record.source.upperBound <= area.count, "a source outside")
      require(
        record.message.lowerBound >= record.source.upperBound && record.message.upperBound <= area.count,
        "a message outside")
      end = record.message.upperBound
      for range in [record.source, record.message] {
        for scalar in GuestLogReader.text(area, range).unicodeScalars {
          require(scalar.properties.generalCategory != .control, "a control character")
        }
      }
    }
  }
}
