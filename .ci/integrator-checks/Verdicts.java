// Whether the sample for Java accepts tokens: reads one a line, and writes true or false for each.
import java.util.Scanner;

class Verdicts {
    public static void main(String[] arguments) {
        for (Scanner tokens = new Scanner(System.in); tokens.hasNextLine(); )
            System.out.println(isAccepted(tokens.nextLine()));
    }

    static boolean isAccepted(String token) {
        try {
            Admitted.admitted(token);
            return true;
        } catch (Exception refused) {
            return false;
        }
    }
}
