import Glibc

/// One draw of a standard normal from two uniform draws (Box and Muller 1958).
func gaussian(_ u: Double, _ v: Double) -> Double { (-2 * log(u)).squareRoot() * cos(2 * .pi * v) }
