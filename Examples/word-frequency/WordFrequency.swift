// Counts words: text in, the most frequent words as JSON out.
//
//     nub guest build Examples/word-frequency -o word-frequency.elf
import NubCap
import NubGuestKit

/// 300: text → `{"total":7,"distinct":5,"words":[{"word":"the","count":2},…]}`, at most 20 words, the most frequent first,
/// equally frequent ones in byte order.
@c(nub_fn_300_word_frequency)
public func wordFrequencyFunction(_ call: NubCall?) -> UInt32 { GuestCall.run(call, wordFrequency) }

func wordFrequency(_ call: borrowing GuestCall) throws(GuestError) {
  try WordCount(of: call.payload).write(20, to: call)
}

/// 301: hash of a Data cap with a text → as 300. The cap comes from the sandbox's directory, or through the host from
/// the store.
@c(nub_fn_301_cap_word_frequency)
public func capWordFrequencyFunction(_ call: NubCall?) -> UInt32 { GuestCall.run(call, capWordFrequency) }

func capWordFrequency(_ call: borrowing GuestCall) throws(GuestError) {
  let text = try call.data(try call.hash())
  call.log(.debug, text: "counting the words of \(text.count) bytes")
  try WordCount(of: text).write(20, to: call)
}

/// 302: text → as 300, without the words that the host function 1000 (`stop_words`) names, separated by spaces.
@c(nub_fn_302_word_frequency_filtered)
public func wordFrequencyFilteredFunction(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call, wordFrequencyFiltered)
}

func wordFrequencyFiltered(_ call: borrowing GuestCall) throws(GuestError) {
  // The answer stays where it is until the next host call, and there is none here.
  let answer = try call.callHost(1000, "en")
  var words = try WordCount(of: call.payload)
  words.remove(try WordCount(of: answer))
  try words.write(20, to: call)
}
