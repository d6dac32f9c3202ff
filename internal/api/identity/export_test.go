package identity

// DecodeLogin is decodeLogin.
var DecodeLogin = decodeLogin
