/// Words and names of our own, for needles, fillers and phonebooks: everyday things, and names from many places.
package enum Words {
  package static let all: [String] = list(
    """
    anchor apple arrow barn basket beacon bell bench blanket boat book bottle bowl box bridge broom brush
    bucket button cabin camera candle canoe carpet castle chair chest chimney clock coat comb compass
    cottage cradle crown cup curtain desk dish door drawer drum engine envelope fan farm feather fence flag
    flute forge fork fountain garden gate glove guitar hammer harbor hat helmet hook house jacket jar jug
    kettle kitchen kite ladder lamp lantern ledger library lighthouse locker map mask mill mirror museum
    nail needle nest net notebook oven paddle painting pan pencil piano pillow pipe plate plow pocket pond
    printer puzzle quilt raft ribbon ring rope saddle sail scarf school scissors shed shelf ship shovel
    signal sink sled sofa spoon stable stamp station stove suitcase table tent ticket tower towel toy train
    tray trunk tunnel umbrella valley vase violin wagon wall wallet watch well wheel whistle window workshop
    """)

  package static let firstNames: [String] = list(
    """
    Ada Alan Alma Amir Anna Arne Bella Bruno Carla Cem Clara Colin Dana David Dora Edith Elias Emil Erik
    Esther Fatma Felix Flora Frank Greta Hana Hector Helen Hugo Ida Igor Ines Ivan Jana Jonas Julia Karim
    Klara Lars Laura Leo Lina Lucas Maja Marco Maria Milan Mina Nadia Nils Nora Oleg Olga Oscar Otto Paula
    Pavel Petra Quentin Ravi Rita Rosa Ruben Sara Simon Sofia Stefan Tanja Theo Tomas Ulla Vera Viktor
    Walter Wanda Xenia Yara Yusuf Zoe
    """)

  package static let lastNames: [String] = list(
    """
    Abel Adler Amato Bauer Becker Bell Berg Bianchi Blum Brandt Brown Castro Cohen Costa Cruz Dahl Diaz
    Dubois Eklund Evans Falk Farkas Fischer Fox Garcia Gomez Gray Gruber Haas Hansen Hill Horvat Ito Jansen
    Jensen Kaya Keller Khan King Klein Koch Kovacs Kumar Lang Larsen Lee Lopez Lund Marin Martin Mason Meyer
    Moreau Mori Moser Nagy Nielsen Novak Olsen Ortiz Park Patel Perez Petrov Popov Quinn Ramos Reyes Ricci
    Romano Rossi Roth Sato Schmidt Silva Singh Smith Stein Stone Suzuki Tanaka Torres Varga Vogel Wagner
    Walsh Weber White Wolf Wood Yilmaz Young Zhang Ziegler
    """)

  /// `word` with its first letter in upper case.
  package static func capitalized(_ word: String) -> String { word.prefix(1).uppercased() + word.dropFirst() }

  private static func list(_ text: String) -> [String] {
    text.split { $0 == " " || $0 == "\n" }.map(String.init)
  }
}
