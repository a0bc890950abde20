package people

// name is a name as its bearer writes it and as a user name can hold it.
type name struct{ native, ascii string }

type city struct{ city, postal string }

type culture struct {
	language, country, dial string
	familyFirst             bool
	between                 string // stands between family and given name where the family comes first
	street                  string // a format of street and number
	given, family           []name
	streets                 []string
	cities                  []city
}

var cultures = []culture{
	{
		language: "en", country: "GB", dial: "+44", street: "%[2]d %[1]s",
		given:   []name{{"Alice", "alice"}, {"Oliver", "oliver"}, {"Sinéad", "sinead"}, {"George", "george"}, {"Zoë", "zoe"}, {"Harriet", "harriet"}},
		family:  []name{{"Smith", "smith"}, {"O'Brien", "obrien"}, {"Clarke-Jones", "clarkejones"}, {"MacLeod", "macleod"}, {"Hughes", "hughes"}, {"Brontë", "bronte"}},
		streets: []string{"High Street", "Station Road", "Kingsway", "St. Mary's Lane"},
		cities:  []city{{"London", "EC1A %dB"}, {"Leeds", "LS1 %dA"}, {"Edinburgh", "EH3 %dX"}},
	},
	{
		language: "cs", country: "CZ", dial: "+420", street: "%s %d",
		given:   []name{{"Jiří", "jiri"}, {"Tereza", "tereza"}, {"Matěj", "matej"}, {"Zdeňka", "zdenka"}, {"Ondřej", "ondrej"}, {"Kateřina", "katerina"}},
		family:  []name{{"Novák", "novak"}, {"Dvořáková", "dvorakova"}, {"Černý", "cerny"}, {"Šťastná", "stastna"}, {"Procházka", "prochazka"}, {"Říha", "riha"}},
		streets: []string{"Vinohradská", "Na Příkopě", "Žižkova", "Křížíkova"},
		cities:  []city{{"Praha", "186 %d"}, {"Brno", "602 %d"}, {"Plzeň", "301 %d"}},
	},
	{
		language: "de", country: "DE", dial: "+49", street: "%s %d",
		given:   []name{{"Jürgen", "juergen"}, {"Anna-Lena", "annalena"}, {"Björn", "bjoern"}, {"Käthe", "kaethe"}, {"Lukas", "lukas"}, {"Sabine", "sabine"}},
		family:  []name{{"Müller", "mueller"}, {"Weiß", "weiss"}, {"von der Heide", "vonderheide"}, {"Schäfer", "schaefer"}, {"Köhler", "koehler"}, {"Schmidt", "schmidt"}},
		streets: []string{"Hauptstraße", "Königsallee", "Lindenweg", "Am Stadtgraben"},
		cities:  []city{{"Berlin", "101%d"}, {"München", "803%d"}, {"Köln", "506%d"}},
	},
	{
		language: "pl", country: "PL", dial: "+48", street: "ul. %s %d",
		given:   []name{{"Łukasz", "lukasz"}, {"Małgorzata", "malgorzata"}, {"Paweł", "pawel"}, {"Żaneta", "zaneta"}, {"Grażyna", "grazyna"}},
		family:  []name{{"Wiśniewski", "wisniewski"}, {"Wójcik", "wojcik"}, {"Dąbrowska", "dabrowska"}, {"Żak", "zak"}, {"Kowalczyk", "kowalczyk"}},
		streets: []string{"Świętokrzyska", "Długa", "Mickiewicza"},
		cities:  []city{{"Warszawa", "00-1%d"}, {"Kraków", "31-0%d"}, {"Łódź", "90-2%d"}},
	},
	{
		language: "fr", country: "FR", dial: "+33", street: "%[2]d, %[1]s",
		given:   []name{{"François", "francois"}, {"Hélène", "helene"}, {"Loïc", "loic"}, {"Maëlys", "maelys"}, {"Anaïs", "anais"}},
		family:  []name{{"Lefèvre", "lefevre"}, {"d'Aubigné", "daubigne"}, {"Garçon", "garcon"}, {"Moreau", "moreau"}, {"Le Goff", "legoff"}},
		streets: []string{"rue de l'Église", "boulevard Voltaire", "avenue des Champs-Élysées"},
		cities:  []city{{"Paris", "750%d"}, {"Lyon", "690%d"}, {"Orléans", "450%d"}},
	},
	{
		language: "tr", country: "TR", dial: "+90", street: "%s No: %d",
		given:   []name{{"İsmail", "ismail"}, {"Işıl", "isil"}, {"Gülşah", "gulsah"}, {"Çağrı", "cagri"}},
		family:  []name{{"Yılmaz", "yilmaz"}, {"Öztürk", "ozturk"}, {"Şahin", "sahin"}, {"Doğan", "dogan"}},
		streets: []string{"İstiklal Caddesi", "Bağdat Caddesi"},
		cities:  []city{{"İstanbul", "344%d"}, {"İzmir", "352%d"}},
	},
	{
		language: "el", country: "GR", dial: "+30", street: "%s %d",
		given:   []name{{"Γιώργος", "giorgos"}, {"Ελένη", "eleni"}, {"Νίκος", "nikos"}, {"Δέσποινα", "despoina"}},
		family:  []name{{"Παπαδόπουλος", "papadopoulos"}, {"Οικονόμου", "oikonomou"}, {"Νικολάου", "nikolaou"}},
		streets: []string{"Ερμού", "Πανεπιστημίου"},
		cities:  []city{{"Αθήνα", "105 %d"}, {"Θεσσαλονίκη", "546 %d"}},
	},
	{
		language: "uk", country: "UA", dial: "+380", street: "вул. %s, %d",
		given:   []name{{"Олександр", "oleksandr"}, {"Ірина", "iryna"}, {"Тарас", "taras"}, {"Соломія", "solomiia"}},
		family:  []name{{"Шевченко", "shevchenko"}, {"Коваленко", "kovalenko"}, {"Бойко", "boiko"}, {"Гнатюк", "hnatiuk"}},
		streets: []string{"Хрещатик", "Володимирська"},
		cities:  []city{{"Київ", "010%d"}, {"Львів", "790%d"}},
	},
	{
		language: "ja", country: "JP", dial: "+81", street: "%s%d番地", familyFirst: true, between: " ",
		given:   []name{{"太郎", "taro"}, {"美咲", "misaki"}, {"健一", "kenichi"}, {"さくら", "sakura"}},
		family:  []name{{"田中", "tanaka"}, {"佐藤", "sato"}, {"鈴木", "suzuki"}, {"髙橋", "takahashi"}},
		streets: []string{"千代田区丸の内", "渋谷区神南"},
		cities:  []city{{"東京", "100-00%d"}, {"大阪", "530-00%d"}},
	},
	{
		language: "zh", country: "TW", dial: "+886", street: "%s%d號", familyFirst: true,
		given:   []name{{"怡君", "yijun"}, {"志明", "zhiming"}, {"雅婷", "yating"}},
		family:  []name{{"陳", "chen"}, {"林", "lin"}, {"歐陽", "ouyang"}},
		streets: []string{"忠孝東路", "信義路"},
		cities:  []city{{"臺北", "1%d"}, {"高雄", "8%d"}},
	},
	{
		language: "ar", country: "JO", dial: "+962", street: "%s %d",
		given:   []name{{"محمد", "mohammad"}, {"ليلى", "layla"}, {"خالد", "khaled"}},
		family:  []name{{"الحسيني", "alhusseini"}, {"حداد", "haddad"}, {"منصور", "mansour"}},
		streets: []string{"شارع الرينبو", "شارع مكة"},
		cities:  []city{{"عمّان", "111%d"}, {"إربد", "211%d"}},
	},
	{
		language: "vi", country: "VN", dial: "+84", street: "%[2]d %[1]s", familyFirst: true, between: " ",
		given:   []name{{"Thị Hồng", "hong"}, {"Văn Đức", "duc"}, {"Minh Tuấn", "tuan"}},
		family:  []name{{"Nguyễn", "nguyen"}, {"Trần", "tran"}, {"Phạm", "pham"}},
		streets: []string{"Nguyễn Huệ", "Lê Lợi"},
		cities:  []city{{"Hà Nội", "100%d"}, {"Đà Nẵng", "550%d"}},
	},
}

type department struct {
	name   string
	center int
	titles []string
}

var departments = []department{
	{"Sales", 1, []string{"Account Executive", "Sales Engineer", "Regional Sales Director"}},
	{"Finance", 2, []string{"Accountant", "Controller", "Payroll Specialist"}},
	{"IT", 3, []string{"System Administrator", "Helpdesk Engineer", "Security Analyst"}},
	{"Research & Development", 4, []string{"Software Developer", "Hardware Engineer", "Test Engineer"}},
	{"Human Resources", 5, []string{"Recruiter", "HR Business Partner"}},
	{"Legal", 6, []string{"Counsel", "Contract Specialist"}},
	{"Logistics, Warehouse", 7, []string{"Warehouse Clerk", "Dispatcher", "Forklift Driver"}},
	{"Marketing", 8, []string{"Graphic Designer", "Editor", "Event Coordinator"}},
}

var (
	companies = []string{"Example Trading", "Example Industries", "Example Services"}
	projects  = []string{"Aurora", "Blue Danube", "Crème Brûlée", "Delta"}
	contracts = []string{"Full time", "Part time", "Contractor"}
	remarks   = []string{
		"collects prints at the second floor and scans to the team's own folder; asks for a reminder before jobs are deleted",
		"needs \"follow me\" printing in all offices of the company, also while visiting customers abroad",
		"may print in colour; quota 500 pages a month, counted by quarter, posters go to the plotter in the cellar",
		"works from home on Mondays and Fridays, has no desk phone there and is reached on the mobile number only",
	}
)
