;; The loops of resample.ts on vectors of 128 bits; `node scripts/generate.mjs` assembles them into resample_wasm.ts.
;;
;; A weight w of up to 24 bits is kept as two of 16, w = high * 4096 + low, because one instruction multiplies eight
;; pixels by eight such weights and adds neighbouring products. high may be negative, low is not. All sums are modulo
;; 2^32, as those of 32-bit integers in any order are, so the result is that of Pillow's loops.
(module
  (memory (export "memory") 1)

  ;; Four sums from vectors of partial sums: high * 4096 + low of each lane, then all lanes of $a0 to lane 0, of $a1 to
  ;; lane 1 and so on, rounded, without their 22 bits of fraction.
  (func $finish (param $h0 v128) (param $h1 v128) (param $h2 v128) (param $h3 v128)
                (param $l0 v128) (param $l1 v128) (param $l2 v128) (param $l3 v128) (result v128)
    (local $t0 v128) (local $t1 v128)
    (local.set $l0 (i32x4.add (local.get $l0) (i32x4.shl (local.get $h0) (i32.const 12))))
    (local.set $l1 (i32x4.add (local.get $l1) (i32x4.shl (local.get $h1) (i32.const 12))))
    (local.set $l2 (i32x4.add (local.get $l2) (i32x4.shl (local.get $h2) (i32.const 12))))
    (local.set $l3 (i32x4.add (local.get $l3) (i32x4.shl (local.get $h3) (i32.const 12))))
    ;; [a0 b0 a1 b1] + [a2 b2 a3 b3]
    (local.set $t0 (i32x4.add
      (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $l0) (local.get $l1))
      (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $l0) (local.get $l1))))
    (local.set $t1 (i32x4.add
      (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $l2) (local.get $l3))
      (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $l2) (local.get $l3))))
    (i32x4.shr_s
      (i32x4.add (v128.const i32x4 0x200000 0x200000 0x200000 0x200000)
        (i32x4.add
          (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $t0) (local.get $t1))
          (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $t0) (local.get $t1))))
      (i32.const 22)))

  ;; The horizontal pass: `lines` lines of `input` pixels at `source` to `width` pixels at `out`, four lines at a time
  ;; (as many as that takes are read and written). Output pixel x begins at input `first[x]`, i32; its `taps` high weights
  ;; (i16, a multiple of 8, zeros at the end) and then its low ones are row x of `weights`.
  (func (export "rows") (param $source i32) (param $input i32) (param $lines i32) (param $out i32) (param $width i32)
                        (param $first i32) (param $weights i32) (param $taps i32)
    (local $x i32) (local $y i32) (local $k i32) (local $p0 i32) (local $p1 i32) (local $p2 i32) (local $p3 i32)
    (local $to i32) (local $high i32) (local $low i32) (local $wh v128) (local $wl v128) (local $s v128)
    (local $h0 v128) (local $h1 v128) (local $h2 v128) (local $h3 v128)
    (local $l0 v128) (local $l1 v128) (local $l2 v128) (local $l3 v128)
    (loop $columns
      (local.set $y (i32.const 0))
      (loop $four
        (local.set $p0 (i32.add (local.get $source) (i32.add
          (i32.load (i32.add (local.get $first) (i32.shl (local.get $x) (i32.const 2))))
          (i32.mul (local.get $y) (local.get $input)))))
        (local.set $p1 (i32.add (local.get $p0) (local.get $input)))
        (local.set $p2 (i32.add (local.get $p1) (local.get $input)))
        (local.set $p3 (i32.add (local.get $p2) (local.get $input)))
        (local.set $high (local.get $weights))
        (local.set $low (i32.add (local.get $weights) (i32.shl (local.get $taps) (i32.const 1))))
        (local.set $h0 (v128.const i32x4 0 0 0 0)) (local.set $h1 (v128.const i32x4 0 0 0 0))
        (local.set $h2 (v128.const i32x4 0 0 0 0)) (local.set $h3 (v128.const i32x4 0 0 0 0))
        (local.set $l0 (v128.const i32x4 0 0 0 0)) (local.set $l1 (v128.const i32x4 0 0 0 0))
        (local.set $l2 (v128.const i32x4 0 0 0 0)) (local.set $l3 (v128.const i32x4 0 0 0 0))
        (local.set $k (local.get $taps))
        (loop $eight
          (local.set $wh (v128.load (local.get $high)))
          (local.set $wl (v128.load (local.get $low)))
          (local.set $s (v128.load8x8_u (local.get $p0)))
          (local.set $h0 (i32x4.add (local.get $h0) (i32x4.dot_i16x8_s (local.get $s) (local.get $wh))))
          (local.set $l0 (i32x4.add (local.get $l0) (i32x4.dot_i16x8_s (local.get $s) (local.get $wl))))
          (local.set $s (v128.load8x8_u (local.get $p1)))
          (local.set $h1 (i32x4.add (local.get $h1) (i32x4.dot_i16x8_s (local.get $s) (local.get $wh))))
          (local.set $l1 (i32x4.add (local.get $l1) (i32x4.dot_i16x8_s (local.get $s) (local.get $wl))))
          (local.set $s (v128.load8x8_u (local.get $p2)))
          (local.set $h2 (i32x4.add (local.get $h2) (i32x4.dot_i16x8_s (local.get $s) (local.get $wh))))
          (local.set $l2 (i32x4.add (local.get $l2) (i32x4.dot_i16x8_s (local.get $s) (local.get $wl))))
          (local.set $s (v128.load8x8_u (local.get $p3)))
          (local.set $h3 (i32x4.add (local.get $h3) (i32x4.dot_i16x8_s (local.get $s) (local.get $wh))))
          (local.set $l3 (i32x4.add (local.get $l3) (i32x4.dot_i16x8_s (local.get $s) (local.get $wl))))
          (local.set $p0 (i32.add (local.get $p0) (i32.const 8)))
          (local.set $p1 (i32.add (local.get $p1) (i32.const 8)))
          (local.set $p2 (i32.add (local.get $p2) (i32.const 8)))
          (local.set $p3 (i32.add (local.get $p3) (i32.const 8)))
          (local.set $high (i32.add (local.get $high) (i32.const 16)))
          (local.set $low (i32.add (local.get $low) (i32.const 16)))
          (br_if $eight (local.tee $k (i32.sub (local.get $k) (i32.const 8)))))
        (local.set $s (call $finish (local.get $h0) (local.get $h1) (local.get $h2) (local.get $h3)
                                    (local.get $l0) (local.get $l1) (local.get $l2) (local.get $l3)))
        ;; To 0 … 255, in lanes 0 to 3 of bytes.
        (local.set $s (i8x16.narrow_i16x8_u (i16x8.narrow_i32x4_s (local.get $s) (local.get $s)) (local.get $s)))
        (local.set $to (i32.add (local.get $out) (i32.add (local.get $x) (i32.mul (local.get $y) (local.get $width)))))
        (v128.store8_lane 0 (local.get $to) (local.get $s))
        (v128.store8_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $s))
        (v128.store8_lane 2 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $s))
        (v128.store8_lane 3 (i32.add (local.get $to) (local.get $width)) (local.get $s))
        (br_if $four (i32.lt_u (local.tee $y (i32.add (local.get $y) (i32.const 4))) (local.get $lines))))
      (local.set $weights (i32.add (local.get $weights) (i32.shl (local.get $taps) (i32.const 2))))
      (br_if $columns (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 1))) (local.get $width)))))

  ;; The vertical pass: lines of `width` pixels at `source` to `height` such lines at `out`, eight pixels at a time (what
  ;; is beyond the end of a line is overwritten by the next). Line y begins at input line `first[y]`, i32; row y of `weights`
  ;; has `pairs` times two neighbouring high weights (i16) and then as many pairs of low ones.
  (func (export "columns") (param $source i32) (param $width i32) (param $out i32) (param $height i32)
                           (param $first i32) (param $weights i32) (param $pairs i32)
    (local $x i32) (local $y i32) (local $k i32) (local $p i32) (local $high i32) (local $low i32)
    (local $wh v128) (local $wl v128) (local $a v128) (local $b v128) (local $s v128)
    (local $h0 v128) (local $h1 v128) (local $l0 v128) (local $l1 v128)
    (loop $lines
      (local.set $x (i32.const 0))
      (loop $eight
        (local.set $p (i32.add (local.get $source) (i32.add (local.get $x) (i32.mul (local.get $width)
          (i32.load (i32.add (local.get $first) (i32.shl (local.get $y) (i32.const 2))))))))
        (local.set $high (local.get $weights))
        (local.set $low (i32.add (local.get $weights) (i32.shl (local.get $pairs) (i32.const 2))))
        (local.set $h0 (v128.const i32x4 0 0 0 0)) (local.set $h1 (v128.const i32x4 0 0 0 0))
        (local.set $l0 (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
        (local.set $l1 (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
        (local.set $k (local.get $pairs))
        (loop $two
          (local.set $wh (v128.load32_splat (local.get $high)))
          (local.set $wl (v128.load32_splat (local.get $low)))
          (local.set $a (v128.load8x8_u (local.get $p)))
          (local.set $b (v128.load8x8_u (i32.add (local.get $p) (local.get $width))))
          (local.set $s (i8x16.shuffle 0 1 16 17 2 3 18 19 4 5 20 21 6 7 22 23 (local.get $a) (local.get $b)))
          (local.set $h0 (i32x4.add (local.get $h0) (i32x4.dot_i16x8_s (local.get $s) (local.get $wh))))
          (local.set $l0 (i32x4.add (local.get $l0) (i32x4.dot_i16x8_s (local.get $s) (local.get $wl))))
          (local.set $s (i8x16.shuffle 8 9 24 25 10 11 26 27 12 13 28 29 14 15 30 31 (local.get $a) (local.get $b)))
          (local.set $h1 (i32x4.add (local.get $h1) (i32x4.dot_i16x8_s (local.get $s) (local.get $wh))))
          (local.set $l1 (i32x4.add (local.get $l1) (i32x4.dot_i16x8_s (local.get $s) (local.get $wl))))
          (local.set $p (i32.add (local.get $p) (i32.shl (local.get $width) (i32.const 1))))
          (local.set $high (i32.add (local.get $high) (i32.const 4)))
          (local.set $low (i32.add (local.get $low) (i32.const 4)))
          (br_if $two (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
        (local.set $a (i32x4.shr_s
          (i32x4.add (local.get $l0) (i32x4.shl (local.get $h0) (i32.const 12))) (i32.const 22)))
        (local.set $b (i32x4.shr_s
          (i32x4.add (local.get $l1) (i32x4.shl (local.get $h1) (i32.const 12))) (i32.const 22)))
        (local.set $a (i16x8.narrow_i32x4_s (local.get $a) (local.get $b)))
        (v128.store64_lane 0
          (i32.add (local.get $out) (i32.add (local.get $x) (i32.mul (local.get $y) (local.get $width))))
          (i8x16.narrow_i16x8_u (local.get $a) (local.get $a)))
        (br_if $eight (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 8))) (local.get $width))))
      (local.set $weights (i32.add (local.get $weights) (i32.shl (local.get $pairs) (i32.const 3))))
      (br_if $lines (i32.lt_u (local.tee $y (i32.add (local.get $y) (i32.const 1))) (local.get $height)))))

  ;; Three planes to interleaved pixels, sixteen at a time.
  (func (export "interleave") (param $red i32) (param $green i32) (param $blue i32) (param $out i32) (param $count i32)
    (local $i i32) (local $r v128) (local $g v128) (local $b v128)
    (loop $sixteen
      (local.set $r (v128.load (i32.add (local.get $red) (local.get $i))))
      (local.set $g (v128.load (i32.add (local.get $green) (local.get $i))))
      (local.set $b (v128.load (i32.add (local.get $blue) (local.get $i))))
      (v128.store (local.get $out)
        (i8x16.shuffle 0 1 16 3 4 17 6 7 18 9 10 19 12 13 20 15
          (i8x16.shuffle 0 16 0 1 17 0 2 18 0 3 19 0 4 20 0 5 (local.get $r) (local.get $g)) (local.get $b)))
      (v128.store offset=16 (local.get $out)
        (i8x16.shuffle 0 21 2 3 22 5 6 23 8 9 24 11 12 25 14 15
          (i8x16.shuffle 21 0 6 22 0 7 23 0 8 24 0 9 25 0 10 26 (local.get $r) (local.get $g)) (local.get $b)))
      (v128.store offset=32 (local.get $out)
        (i8x16.shuffle 26 1 2 27 4 5 28 7 8 29 10 11 30 13 14 31
          (i8x16.shuffle 0 11 27 0 12 28 0 13 29 0 14 30 0 15 31 0 (local.get $r) (local.get $g)) (local.get $b)))
      (local.set $out (i32.add (local.get $out) (i32.const 48)))
      (br_if $sixteen (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $count))))))
