extension SHA256 {
  /// The compression function in plain Swift (FIPS 180-4, section 6.2.2), for CPUs without SHA extensions.
  ///
  /// `state` has eight words A...H; `blocks` has `64 * count` bytes.
  @unsafe
  static func compressPortably(_ state: UnsafeMutablePointer<UInt32>, _ blocks: UnsafeRawPointer, count: Int)
  {
    var schedule = InlineArray<64, UInt32>(repeating: 0)
    for index in 0..<count {
      let block = unsafe blocks + 64 * index
      for t in 0..<16 {
        schedule[t] = unsafe UInt32(bigEndian: block.loadUnaligned(fromByteOffset: 4 * t, as: UInt32.self))
      }
      for t in 16..<64 {
        let s0 = schedule[t - 15].rotated(7) ^ schedule[t - 15].rotated(18) ^ schedule[t - 15] &>> 3
        let s1 = schedule[t - 2].rotated(17) ^ schedule[t - 2].rotated(19) ^ schedule[t - 2] &>> 10
        schedule[t] = schedule[t - 16] &+ s0 &+ schedule[t - 7] &+ s1
      }
      var (a, b, c, d) = unsafe (state[0], state[1], state[2], state[3])
      var (e, f, g, h) = unsafe (state[4], state[5], state[6], state[7])
      for t in 0..<64 {
        let t1 =
          h &+ (e.rotated(6) ^ e.rotated(11) ^ e.rotated(25)) &+ (e & f ^ ~e & g) &+ SHA256.k[t]
          &+ schedule[t]
        let t2 = (a.rotated(2) ^ a.rotated(13) ^ a.rotated(22)) &+ (a & b ^ a & c ^ b & c)
        (h, g, f, e) = (g, f, e, d &+ t1)
        (d, c, b, a) = (c, b, a, t1 &+ t2)
      }
      unsafe state[0] &+= a
      unsafe state[1] &+= b
      unsafe state[2] &+= c
      unsafe state[3] &+= d
      unsafe state[4] &+= e
      unsafe state[5] &+= f
      unsafe state[6] &+= g
      unsafe state[7] &+= h
    }
  }

  /// FIPS 180-4, section 4.2.2.
  private static let k: InlineArray<64, UInt32> = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
  ]
}

extension UInt32 {
  /// Rotated right.
  @inline(__always)
  fileprivate func rotated(_ count: UInt32) -> UInt32 {
    self &>> count | self &<< (32 &- count)
  }
}
