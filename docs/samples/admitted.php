<?php
// Verifies an admission token with nothing but PHP 8.1: its extensions sodium and openssl.

const ISSUER = "http://127.0.0.1:8080", EVENT = "arena-night", ALGORITHMS = ["EdDSA"];
const CLAIMS = ['iss', 'aud', 'sub', 'jti', 'iat', 'nbf', 'exp', 'number'];

/** Returns the claims of a valid token, else throws. Check afterwards that the jti is new. */
function admitted(string $token): array {
    $parts = explode('.', $token, 4);
    if (count($parts) !== 3)
        throw new UnexpectedValueException('not a token');
    [$header, $claims] = [json_decode(bytes($parts[0]), true), json_decode(bytes($parts[1]), true)];
    // Keep the key set for up to five minutes.
    $keys = json_decode(file_get_contents(ISSUER . '/.well-known/jwks.json'), true)['keys'];
    $key = array_column($keys, null, 'kid')[$header['kid'] ?? ''] ?? throw new UnexpectedValueException('unknown key');
    $isSigned = in_array($header['alg'], ALGORITHMS, true) && $header['alg'] === $key['alg']
        && isSigned($key, "$parts[0].$parts[1]", bytes($parts[2]));
    $isOurs = ($header['typ'] ?? '') === 'admission+jwt' && !array_key_exists('crit', $header)
        && !array_diff(CLAIMS, array_keys($claims)) && $claims['iss'] === ISSUER && $claims['aud'] === EVENT;
    if (!$isSigned || !$isOurs || $claims['exp'] <= time() - 5 || max($claims['nbf'], $claims['iat']) > time() + 5)
        throw new UnexpectedValueException('not an admission token');
    return $claims;
}

function isSigned(array $key, string $text, string $signature): bool {
    if (strlen($signature) !== 64)
        return false;
    if ($key['kty'] === 'OKP')
        return sodium_crypto_sign_verify_detached($signature, $text, bytes($key['x']));
    // OpenSSL takes a key and a signature of P-256 as ASN.1: X.509, and a sequence of two numbers.
    $head = hex2bin('3059301306072a8648ce3d020106082a8648ce3d03010703420004');
    $pem = base64_encode($head . bytes($key['x']) . bytes($key['y']));
    $numbers = implode(array_map('number', str_split($signature, 32)));
    $public = "-----BEGIN PUBLIC KEY-----\n" . chunk_split($pem, 64, "\n") . "-----END PUBLIC KEY-----\n";
    return openssl_verify($text, "\x30" . chr(strlen($numbers)) . $numbers, $public, OPENSSL_ALGO_SHA256) === 1;
}

function number(string $bytes): string {
    $bytes = ltrim($bytes, "\0");
    $bytes = ($bytes === '' || ord($bytes) > 127 ? "\0" : '') . $bytes;
    return "\x02" . chr(strlen($bytes)) . $bytes;
}

function bytes(string $text): string {
    return (string) base64_decode(strtr($text, '-_', '+/'), true);
}
