// Stands for swift-collections' deque where the fuzz targets are built: the same operations on an array.
public struct Deque<Element>: RandomAccessCollection, MutableCollection, RangeReplaceableCollection,
  ExpressibleByArrayLiteral
{
  private var elements: [Element] = []

  public init() {}
  public init(arrayLiteral elements: Element...) { self.elements = elements }

  public var startIndex: Int { 0 }
  public var endIndex: Int { elements.count }
  public subscript(index: Int) -> Element {
    get { elements[index] }
    set { elements[index] = newValue }
  }

  public mutating func replaceSubrange(_ range: Range<Int>, with new: some Collection<Element>) {
    elements.replaceSubrange(range, with: new)
  }

  public mutating func prepend(_ element: Element) { elements.insert(element, at: 0) }
  public mutating func popFirst() -> Element? { elements.isEmpty ? nil : elements.removeFirst() }
}
