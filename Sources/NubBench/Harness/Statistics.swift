/// The middle of the values, the mean of the two middle ones where there are two; 0 of none.
func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  guard !sorted.isEmpty else { return 0 }
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// The value that `share` (0 to 1) of all values do not exceed, by nearest rank; 0 of none.
func percentile(_ sorted: [Double], _ share: Double) -> Double {
  guard !sorted.isEmpty else { return 0 }
  let rank = Int((share * Double(sorted.count)).rounded(.up))
  return sorted[min(max(rank, 1), sorted.count) - 1]
}
