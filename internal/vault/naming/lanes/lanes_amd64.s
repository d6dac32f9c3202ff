#include "textflag.h"

// Sixteen lanes of BLAKE3's compression: Z0–Z15 hold the state, a word each,
// Z16–Z31 the message, and lane n of every register belongs to input n.

DATA iv<>+0(SB)/4, $0x6A09E667
DATA iv<>+4(SB)/4, $0xBB67AE85
DATA iv<>+8(SB)/4, $0x3C6EF372
DATA iv<>+12(SB)/4, $0xA54FF53A
DATA iv<>+16(SB)/4, $64
GLOBL iv<>(SB), RODATA|NOPTR, $20

// A row of a lane's input into its register.
#define ROW(n, z) \
	MOVQ n*8(R8), R9; \
	VMOVDQU32 (R9)(R10*1), z

// Words of neighbouring rows side by side.
#define PAIR(a, b, lo, hi) \
	VPUNPCKLDQ b, a, lo; \
	VPUNPCKHDQ b, a, hi

#define QUAD(a, b, c, d, w0, w1, w2, w3) \
	VPUNPCKLQDQ c, a, w0; \
	VPUNPCKHQDQ c, a, w1; \
	VPUNPCKLQDQ d, b, w2; \
	VPUNPCKHQDQ d, b, w3

// The quarters of four registers, each with a word of four rows, to the four
// registers of their words.
#define QUARTERS(a, b, c, d, t0, t1, t2, t3, w0, w4, w8, w12) \
	VSHUFI32X4 $0x88, b, a, t0; \
	VSHUFI32X4 $0xDD, b, a, t1; \
	VSHUFI32X4 $0x88, d, c, t2; \
	VSHUFI32X4 $0xDD, d, c, t3; \
	VSHUFI32X4 $0x88, t2, t0, w0; \
	VSHUFI32X4 $0x88, t3, t1, w4; \
	VSHUFI32X4 $0xDD, t2, t0, w8; \
	VSHUFI32X4 $0xDD, t3, t1, w12

// Four of BLAKE3's G side by side, on columns or diagonals.
#define HALF(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, m0, m1, m2, m3, r, s) \
	VPADDD m0, a0, a0; \
	VPADDD m1, a1, a1; \
	VPADDD m2, a2, a2; \
	VPADDD m3, a3, a3; \
	VPADDD b0, a0, a0; \
	VPADDD b1, a1, a1; \
	VPADDD b2, a2, a2; \
	VPADDD b3, a3, a3; \
	VPXORD a0, d0, d0; \
	VPXORD a1, d1, d1; \
	VPXORD a2, d2, d2; \
	VPXORD a3, d3, d3; \
	VPRORD r, d0, d0; \
	VPRORD r, d1, d1; \
	VPRORD r, d2, d2; \
	VPRORD r, d3, d3; \
	VPADDD d0, c0, c0; \
	VPADDD d1, c1, c1; \
	VPADDD d2, c2, c2; \
	VPADDD d3, c3, c3; \
	VPXORD c0, b0, b0; \
	VPXORD c1, b1, b1; \
	VPXORD c2, b2, b2; \
	VPXORD c3, b3, b3; \
	VPRORD s, b0, b0; \
	VPRORD s, b1, b1; \
	VPRORD s, b2, b2; \
	VPRORD s, b3, b3

#define COLUMNS(x0, y0, x1, y1, x2, y2, x3, y3) \
	HALF(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15, x0, x1, x2, x3, $16, $12); \
	HALF(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15, y0, y1, y2, y3, $8, $7)

#define DIAGONALS(x0, y0, x1, y1, x2, y2, x3, y3) \
	HALF(Z0, Z1, Z2, Z3, Z5, Z6, Z7, Z4, Z10, Z11, Z8, Z9, Z15, Z12, Z13, Z14, x0, x1, x2, x3, $16, $12); \
	HALF(Z0, Z1, Z2, Z3, Z5, Z6, Z7, Z4, Z10, Z11, Z8, Z9, Z15, Z12, Z13, Z14, y0, y1, y2, y3, $8, $7)

#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15) \
	COLUMNS(m0, m1, m2, m3, m4, m5, m6, m7); \
	DIAGONALS(m8, m9, m10, m11, m12, m13, m14, m15)

// func hash16(w *work)
TEXT ·hash16(SB), 0, $512-8
	MOVQ w+0(FP), DI
	MOVQ 0(DI), SI            // key
	MOVQ 8(DI), R8            // in
	MOVQ 24(DI), R11          // counters
	MOVQ 32(DI), CX           // blocks
	MOVL 40(DI), AX           // flags
	MOVL AX, DX
	ORL  44(DI), DX           // and those of the first
	XORQ R10, R10             // bytes done

	VPBROADCASTD 0(SI), Z0
	VPBROADCASTD 4(SI), Z1
	VPBROADCASTD 8(SI), Z2
	VPBROADCASTD 12(SI), Z3
	VPBROADCASTD 16(SI), Z4
	VPBROADCASTD 20(SI), Z5
	VPBROADCASTD 24(SI), Z6
	VPBROADCASTD 28(SI), Z7

block:
	VMOVDQU32 Z0, 0(SP)
	VMOVDQU32 Z1, 64(SP)
	VMOVDQU32 Z2, 128(SP)
	VMOVDQU32 Z3, 192(SP)
	VMOVDQU32 Z4, 256(SP)
	VMOVDQU32 Z5, 320(SP)
	VMOVDQU32 Z6, 384(SP)
	VMOVDQU32 Z7, 448(SP)

	ROW(0, Z16)
	ROW(1, Z17)
	ROW(2, Z18)
	ROW(3, Z19)
	ROW(4, Z20)
	ROW(5, Z21)
	ROW(6, Z22)
	ROW(7, Z23)
	ROW(8, Z24)
	ROW(9, Z25)
	ROW(10, Z26)
	ROW(11, Z27)
	ROW(12, Z28)
	ROW(13, Z29)
	ROW(14, Z30)
	ROW(15, Z31)

	PAIR(Z16, Z17, Z0, Z1)
	PAIR(Z18, Z19, Z2, Z3)
	PAIR(Z20, Z21, Z4, Z5)
	PAIR(Z22, Z23, Z6, Z7)
	PAIR(Z24, Z25, Z8, Z9)
	PAIR(Z26, Z27, Z10, Z11)
	PAIR(Z28, Z29, Z12, Z13)
	PAIR(Z30, Z31, Z14, Z15)
	QUAD(Z0, Z1, Z2, Z3, Z16, Z17, Z18, Z19)
	QUAD(Z4, Z5, Z6, Z7, Z20, Z21, Z22, Z23)
	QUAD(Z8, Z9, Z10, Z11, Z24, Z25, Z26, Z27)
	QUAD(Z12, Z13, Z14, Z15, Z28, Z29, Z30, Z31)
	QUARTERS(Z16, Z20, Z24, Z28, Z0, Z1, Z2, Z3, Z16, Z20, Z24, Z28)
	QUARTERS(Z17, Z21, Z25, Z29, Z4, Z5, Z6, Z7, Z17, Z21, Z25, Z29)
	QUARTERS(Z18, Z22, Z26, Z30, Z8, Z9, Z10, Z11, Z18, Z22, Z26, Z30)
	QUARTERS(Z19, Z23, Z27, Z31, Z12, Z13, Z14, Z15, Z19, Z23, Z27, Z31)

	VMOVDQU32 0(SP), Z0
	VMOVDQU32 64(SP), Z1
	VMOVDQU32 128(SP), Z2
	VMOVDQU32 192(SP), Z3
	VMOVDQU32 256(SP), Z4
	VMOVDQU32 320(SP), Z5
	VMOVDQU32 384(SP), Z6
	VMOVDQU32 448(SP), Z7
	VPBROADCASTD iv<>+0(SB), Z8
	VPBROADCASTD iv<>+4(SB), Z9
	VPBROADCASTD iv<>+8(SB), Z10
	VPBROADCASTD iv<>+12(SB), Z11
	VMOVDQU32 (R11), Z12
	VPXORD Z13, Z13, Z13
	VPBROADCASTD iv<>+16(SB), Z14
	CMPQ CX, $1
	JNE  flagged
	ORL  48(DI), DX           // those of the last
flagged:
	VPBROADCASTD DX, Z15
	MOVL AX, DX

	ROUND(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31)
	ROUND(Z18, Z22, Z19, Z26, Z23, Z16, Z20, Z29, Z17, Z27, Z28, Z21, Z25, Z30, Z31, Z24)
	ROUND(Z19, Z20, Z26, Z28, Z29, Z18, Z23, Z30, Z22, Z21, Z25, Z16, Z27, Z31, Z24, Z17)
	ROUND(Z26, Z23, Z28, Z25, Z30, Z19, Z29, Z31, Z20, Z16, Z27, Z18, Z21, Z24, Z17, Z22)
	ROUND(Z28, Z29, Z25, Z27, Z31, Z26, Z30, Z24, Z23, Z18, Z21, Z19, Z16, Z17, Z22, Z20)
	ROUND(Z25, Z30, Z27, Z21, Z24, Z28, Z31, Z17, Z29, Z19, Z16, Z26, Z18, Z22, Z20, Z23)
	ROUND(Z27, Z31, Z21, Z16, Z17, Z25, Z24, Z22, Z30, Z26, Z18, Z28, Z19, Z20, Z23, Z29)

	VPXORD Z8, Z0, Z0
	VPXORD Z9, Z1, Z1
	VPXORD Z10, Z2, Z2
	VPXORD Z11, Z3, Z3
	VPXORD Z12, Z4, Z4
	VPXORD Z13, Z5, Z5
	VPXORD Z14, Z6, Z6
	VPXORD Z15, Z7, Z7

	ADDQ $64, R10
	DECQ CX
	JNZ  block

	// Each lane's eight words, in a row, to its place. A quarter of a register
	// has four words of a lane, of one lane in four.
	MOVQ 16(DI), DI           // out
	PAIR(Z0, Z1, Z16, Z17)
	PAIR(Z2, Z3, Z18, Z19)
	PAIR(Z4, Z5, Z20, Z21)
	PAIR(Z6, Z7, Z22, Z23)
	QUAD(Z16, Z17, Z18, Z19, Z0, Z1, Z2, Z3)
	QUAD(Z20, Z21, Z22, Z23, Z4, Z5, Z6, Z7)
#define STORE(n, z, w) \
	VEXTRACTI32X4 $0, z, n*32+0(DI); \
	VEXTRACTI32X4 $0, w, n*32+16(DI); \
	VEXTRACTI32X4 $1, z, n*32+128(DI); \
	VEXTRACTI32X4 $1, w, n*32+144(DI); \
	VEXTRACTI32X4 $2, z, n*32+256(DI); \
	VEXTRACTI32X4 $2, w, n*32+272(DI); \
	VEXTRACTI32X4 $3, z, n*32+384(DI); \
	VEXTRACTI32X4 $3, w, n*32+400(DI)
	STORE(0, Z0, Z4)
	STORE(1, Z1, Z5)
	STORE(2, Z2, Z6)
	STORE(3, Z3, Z7)
	VZEROUPPER
	RET
