// Verifies an admission token with Java 17 and com.google.code.gson:gson for JSON.
import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.GeneralSecurityException;
import java.security.KeyException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.SignatureException;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;

class Admitted {
    static final String ISSUER = "http://127.0.0.1:8080", EVENT = "arena-night";
    static final List<String> ALGORITHMS = List.of("EdDSA");

    /** Returns the claims of a valid token, else throws. Check afterwards that the jti is new. */
    static JsonObject admitted(String token) throws Exception {
        String[] parts = token.split("\\.", -1);
        JsonObject header = read(parts[0]), claims = read(parts[1]), key = key(text(header, "kid"));
        String algorithm = text(header, "alg");
        boolean isSigned = parts.length == 3 && ALGORITHMS.contains(algorithm) && algorithm.equals(text(key, "alg"))
            && isSigned(key, parts[0] + "." + parts[1], bytes(parts[2]));
        boolean isOurs = text(header, "typ").equals("admission+jwt") && !header.has("crit")
            && text(claims, "iss").equals(ISSUER) && text(claims, "aud").equals(EVENT)
            && claims.keySet().containsAll(Set.of("sub", "jti", "number"));
        long now = System.currentTimeMillis() / 1000;
        long begins = Math.max(claims.get("nbf").getAsLong(), claims.get("iat").getAsLong());
        if (!isSigned || !isOurs || begins > now + 5 || claims.get("exp").getAsLong() <= now - 5)
            throw new SignatureException("not an admission token");
        return claims;
    }

    /** Returns a key of the set by its id. Keep the set for up to five minutes. */
    static JsonObject key(String id) throws IOException, InterruptedException, KeyException {
        HttpRequest ask = HttpRequest.newBuilder(URI.create(ISSUER + "/.well-known/jwks.json")).build();
        String set = HttpClient.newHttpClient().send(ask, HttpResponse.BodyHandlers.ofString()).body();
        for (JsonElement key : JsonParser.parseString(set).getAsJsonObject().getAsJsonArray("keys"))
            if (text(key.getAsJsonObject(), "kid").equals(id)) return key.getAsJsonObject();
        throw new KeyException("unknown key");
    }

    static boolean isSigned(JsonObject key, String text, byte[] signature) throws GeneralSecurityException {
        boolean isEd = text(key, "kty").equals("OKP");
        // X.509: a head that is the same for all keys of a kind, then the bytes of the key.
        String head = isEd ? "302a300506032b6570032100" : "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
        String bytes = hex(text(key, "x")) + (isEd ? "" : hex(text(key, "y")));
        X509EncodedKeySpec spec = new X509EncodedKeySpec(HexFormat.of().parseHex(head + bytes));
        PublicKey key509 = KeyFactory.getInstance(isEd ? "Ed25519" : "EC").generatePublic(spec);
        Signature verifier = Signature.getInstance(isEd ? "Ed25519" : "SHA256withECDSAinP1363Format");
        verifier.initVerify(key509);
        verifier.update(text.getBytes(UTF_8));
        return verifier.verify(signature);
    }

    static JsonObject read(String part) {
        return JsonParser.parseString(new String(bytes(part), UTF_8)).getAsJsonObject();
    }

    static String text(JsonObject object, String name) {
        return object.get(name).getAsString();
    }

    static String hex(String text) {
        return HexFormat.of().formatHex(bytes(text));
    }

    static byte[] bytes(String text) {
        return Base64.getUrlDecoder().decode(text);
    }
}
